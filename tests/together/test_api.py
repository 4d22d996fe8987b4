"""wildcore in Python: the numbers are those of the command line, calls are independent, and the model stays as it was."""

import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch

from wildcore import Answer, Editor, EditRequest, UserError, api
from wildcore.errors import Module
from wildcore.jobs import modules
from wildcore.models import LoadedModel
from wildcore.params import Params
from wildcore.patches import Dense, WeightPatch
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.testing.conformance import ModelState

Wildcore = Callable[..., CompletedProcess[str]]
QUIET = {"progress": False}
QUICK = {"steps": 5, "layer": 2}
BATCH = "--editor memit+rect --set editor.steps=3 --set editor.layers=[2] --set transform.share=0.5 --schedule batch"
SINGLE = (
    "--editor ft-m --set editor.steps=5 --set editor.layer=2 --protocol wild --sample 3 --seed 5 --sample-seed 6 "
    "--add-metric token-f1 --hard-locality 1"
)
FACT = EditRequest(prompt="Which country does the cheese Gouda come from?", target="Peru", subject="Gouda")


@pytest.fixture(scope="module", autouse=True)
def as_the_command_line(environment: dict[str, str]) -> Iterator[None]:
    """Keep what is measured where the command line keeps it, and compute with as many threads: last digits depend on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WILDCORE_CACHE", environment["WILDCORE_CACHE"])
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return api.load("pocket", **QUIET)


@pytest.fixture(autouse=True)
def model_stays_as_it_was(model: LoadedModel) -> Iterator[None]:
    state = ModelState.of(model)
    yield
    state.require(model, "a call")


@pytest.fixture
def fine_tuning() -> api.EditorChoice:
    return api.editor("ft-m", **QUICK)


class Louder(Editor):
    """Makes one layer louder, and is interrupted once it has made ``edits`` edits."""

    def __init__(self, share: float, edits: int | None = None) -> None:
        self.share = share
        self.edits = edits

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        if self.edits == 0:
            raise KeyboardInterrupt
        self.edits = None if self.edits is None else self.edits - 1
        projection = model.mlp_output(2)
        return WeightPatch({projection.name: Dense(self.share * projection.weight.float())})


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file, without how long an edit took."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record.get("edit", {}).pop("seconds", None)
        record.pop("checksum")
    return records


def same_run(one: Path, other: Path) -> None:
    """Compare all that two runs say, but for the times."""
    for file in ("journal.jsonl", "scores.jsonl"):
        assert lines(one / file) == lines(other / file)
    jobs = [RunFolder(path).manifest for path in (one, other)]
    assert jobs[0].identity == jobs[1].identity
    assert jobs[0].job == jobs[1].job


def said(answers: Sequence[Answer]) -> list[tuple[str, str]]:
    """Return answers as cut and whole; what is measured beside them depends in its last digit on what is asked together."""
    return [(answer.text, answer.output.text) for answer in answers]


def texts(replies: Sequence[api.Reply]) -> list[str | None]:
    return [reply.text for reply in replies]


@pytest.mark.parametrize(
    ("options", "editor", "parameters", "more"),
    [
        (
            SINGLE,
            "ft-m",
            QUICK,
            {
                "protocols": "wild",
                "sample": 3,
                "seed": 5,
                "sample_seed": 6,
                "added_metrics": "token-f1",
                "hard_locality": 1,
            },
        ),
        (BATCH, "memit+rect", {"steps": 3, "layers": [2], "transform": {"share": 0.5}}, {"schedule": "batch"}),
    ],
)
def test_a_run_is_that_of_the_command_line(
    options: str,
    editor: str,
    parameters: dict[str, Any],
    more: dict[str, Any],
    model: LoadedModel,
    wildcore: Wildcore,
    tmp_path: Path,
) -> None:
    limit = [] if "sample" in more else ["--limit", 3]
    done = wildcore("eval", *options.split(), *limit, "--quiet", "--out", tmp_path / "command")
    assert done.returncode == 0, done.stderr
    chosen = api.editor(editor, **parameters)
    limited = {} if "sample" in more else {"limit": 3}
    result = api.evaluate(model, chosen, out=tmp_path / "python", **more, **limited, **QUIET)
    same_run(tmp_path / "command", tmp_path / "python")
    shown = json.loads(wildcore("show", tmp_path / "python", "--json").stdout)
    assert shown == {"schema": "wildcore.show/1", **result.summary}
    assert wildcore("eval", "--resume", tmp_path / "python", "--quiet").returncode == 0


def test_a_run_finds_and_validates_each_module_of_its_protocols_once(
    monkeypatch: pytest.MonkeyPatch, model: LoadedModel, fine_tuning: api.EditorChoice
) -> None:
    counted: Counter[str] = Counter()
    find, build = Registry.find, modules.build

    def counting_find(registry: Registry, kind: str, name: str, near: str | None = None) -> Any:
        counted[f"find {kind}"] += 1
        return find(registry, kind, name, near)

    def counting_build(params: type[Params], settings: Mapping[str, Any], where: Module) -> Params:
        counted[f"validate {where.kind}"] += 1
        return build(params, settings, where)

    monkeypatch.setattr(Registry, "find", counting_find)
    monkeypatch.setattr(modules, "build", counting_build)
    run = api.evaluate(model, fine_tuning, limit=1, protocols=["wild", "synthetic"], **QUIET)
    protocols = run.run.manifest.protocols
    uses = {"context": 2, "generator": 2, "truncator": 2}
    uses["metric"] = sum(len(metrics) for protocol in protocols for metrics in protocol.metrics.values())
    assert uses["metric"] == 8
    for section, number in uses.items():
        assert (counted[f"find {section}"], counted[f"validate {section}"]) == (number, number), section


def test_a_patch_is_that_of_the_command_line_and_a_model_under_it_is_asked_as_in_a_run(
    model: LoadedModel, fine_tuning: api.EditorChoice, wildcore: Wildcore, tmp_path: Path
) -> None:
    run = api.evaluate(model, fine_tuning, limit=1, **QUIET).run
    (case,) = run.cases()
    (tmp_path / "facts.jsonl").write_text(case.request.model_dump_json() + "\n")
    options = ["--editor", "ft-m", "--set", "editor.steps=5", "--set", "editor.layer=2", "--quiet"]
    written = wildcore("edit", *options, "--edits", tmp_path / "facts.jsonl", "--out", tmp_path / "patch")
    assert written.returncode == 0, written.stderr
    patch, opened = api.edit(model, fine_tuning, case.request, **QUIET), api.open_patch(tmp_path / "patch", model)
    assert opened.facts == patch.facts == (case.request,)
    assert opened.describe() == patch.describe()
    assert opened.manifest.editor == patch.manifest.editor
    for protocol in ("synthetic", "wild"):
        probes = [probe for probe in case.probes if probe.protocol == protocol]
        questions = [api.question(p.question, *p.answers, kind=p.kind) for p in probes]
        for given, asked in ((None, "before"), (patch, "after"), (tmp_path / "patch", "after")):
            replies = api.ask(model, questions, protocol, patch=given, **QUIET)
            assert [said(reply.answers) for reply in replies] == [said(getattr(probe, asked)) for probe in probes]
    evaluated = api.evaluate(model, patch=patch, dataset="pocketqa", limit=1, **QUIET)
    ours, of_the_run = evaluated.summary, api.Result(run.path).summary
    assert ours["cells"] == of_the_run["cells"]
    assert ours["identity"]["editor"].pop("patch")["requests"] == 1
    assert ours["identity"] == of_the_run["identity"]


def test_what_is_called_before_changes_nothing(model: LoadedModel, fine_tuning: api.EditorChoice) -> None:
    question = api.question(FACT.prompt, "Peru")
    first = api.evaluate(model, fine_tuning, limit=2, batch_size=3, **QUIET)
    patch = api.edit(model, "wise", [FACT], **QUIET)  # an editor with state
    replies = api.ask(model, question, patch=patch, **QUIET)
    assert texts(replies) == ["Peru"]
    assert replies[0].output.startswith(" Peru")
    assert texts(api.ask(model, FACT.prompt, **QUIET)) == ["Georgia"]
    again = api.evaluate(model, fine_tuning, limit=2, batch_size=3, **QUIET)
    same_run(first.folder, again.folder)
    assert api.ask(model, question, patch=api.edit(model, "wise", FACT, **QUIET), **QUIET) == replies


@pytest.mark.parametrize("editor", ["ft-m", "grace", "ike"])
def test_an_interruption_while_the_model_is_asked_leaves_it_as_it_was(model: LoadedModel, editor: str) -> None:
    patch = api.edit(model, editor if editor == "ike" else api.editor(editor, steps=2), FACT, **QUIET)
    passes = []

    def interrupt(*_: object) -> None:
        passes.append(1)
        if len(passes) == 2:
            raise KeyboardInterrupt

    state = ModelState.of(model)
    hook = model.layers[4].register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        api.ask(model, [FACT.prompt, "Where is Lima?"], patch=patch, **QUIET)
    passes.clear()
    with pytest.raises(KeyboardInterrupt), patch.applied(model):
        raise KeyboardInterrupt
    hook.remove()
    state.require(model, "an interruption")


def test_an_object_can_be_the_editor_and_its_interrupted_run_keeps_what_is_finished(
    model: LoadedModel, wildcore: Wildcore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        api.evaluate(model, Louder(0.5, edits=2), limit=4, parallel=1, protocols="wild", out=tmp_path / "run")
    assert f"Interrupted; what is finished is kept in {tmp_path / 'run'}." in capsys.readouterr().err
    assert len(lines(tmp_path / "run" / "journal.jsonl")) == 2
    resumed = wildcore("eval", "--resume", tmp_path / "run")
    assert resumed.returncode == 2
    assert "no plugin offers it" in resumed.stderr
    result = api.evaluate(model, Louder(0.5), limit=2, protocols="wild", **QUIET)
    name = f"unregistered: {__name__}.Louder"
    assert result.summary["identity"]["editor"] == {
        "name": name,
        "plugin": None,
        "params": {"share": 0.5, "edits": None},
    }
    patch = api.edit(model, Louder(0.5), FACT, **QUIET)
    assert api.open_patch(patch.save(tmp_path / "patch"), model).describe() == patch.describe()
    result.table()
    assert f"{name} on pocket" in capsys.readouterr().out


def test_answers_can_be_scored_without_the_model(
    model: LoadedModel, fine_tuning: api.EditorChoice, wildcore: Wildcore
) -> None:
    patch = api.edit(model, api.editor("ft-m"), FACT, **QUIET)
    questions = [api.question(FACT.prompt, "Peru", "the Inca"), api.question("Where is Lima?", "Peru", kind="locality")]
    before = api.ask(model, questions, **QUIET)
    after = api.ask(model, questions, patch=patch, **QUIET)
    assert [score.value for score in api.score(before, "exact-match")] == [0.0, float(before[1].text == "Peru")]
    assert api.score(after, "exact-match")[0].value == 1.0
    unchanged = api.score(after, "unchanged", unedited=before)
    assert [score.value for score in unchanged] == [0.0, float(after[1].text == before[1].text)]
    result = api.evaluate(model, fine_tuning, limit=2, protocols="wild", **QUIET)
    scored = api.score(result, "token-f1", **QUIET)
    assert {cell["metric"] for cell in scored.summary["cells"]} >= {"exact-match", "token-f1"}
    assert wildcore("score", result.folder, "--metric", "token-f1", "--quiet").returncode == 0
    assert api.Result(result.folder).summary == scored.summary


def test_answers_are_read_in_one_unicode_form(model: LoadedModel, fine_tuning: api.EditorChoice) -> None:
    replies, facts = [], []
    for form in ("NFC", "NFD"):
        target = unicodedata.normalize(form, "Hà Nội")
        replies += api.ask(model, api.question("Where?", target), "synthetic", **QUIET)
        facts += api.edit(model, fine_tuning, api.fact("Where is it?", target), **QUIET).facts
    assert replies[0] == replies[1]
    assert facts[0] == facts[1]
    assert facts[1].target == unicodedata.normalize("NFC", "Hà Nội")


def test_a_result_as_rows_and_as_a_frame(
    model: LoadedModel, fine_tuning: api.EditorChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = api.evaluate(model, fine_tuning, limit=2, protocols="wild", **QUIET)
    rows = result.rows()
    frame = pytest.importorskip("pandas").DataFrame
    assert isinstance(result.to_pandas(), frame)
    of_kind = [row["after"] for row in rows if row["kind"] == "reliability"]
    cell = next(cell for cell in result.summary["cells"] if cell["kind"] == "reliability")
    assert sum(of_kind) / len(of_kind) == cell["after"]
    assert {"question", "answer_before", "answer_after"} <= rows[0].keys()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        result.to_pandas()


REFUSED: dict[str, Callable[[LoadedModel], object]] = {
    "unknown editor 'rom'; did you mean 'rome'?": lambda model: api.editor("rom"),
    "unknown parameter 'laye'; did you mean 'layer'?": lambda model: api.editor("ft-m", laye=1),
    "unknown parameter 'shar'; did you mean 'share'?": lambda model: api.editor("rome+rect", transform={"shar": 1}),
    "no transform takes part here": lambda model: api.editor("rome", transform={"share": 1}),
    "parameter 'layer': Input should be a valid integer": lambda model: api.editor("ft-m", layer="x"),
    "editor.layer=77: the model has layers 0 to 5": lambda model: api.edit(model, api.editor("ft-m", layer=77), FACT),
    "facts: ft-l refuses all 1; 'Where is Lima?': the target is empty": lambda model: api.edit(
        model, "ft-l", EditRequest(prompt="Where is Lima?", target=" ")
    ),
    "facts: there is none to write": lambda model: api.edit(model, "ft-m", []),
    "Louder is a class": lambda model: api.edit(model, Louder, FACT),
    "dict lacks pin_resources, prepare, edit": lambda model: api.evaluate(model, {}),
    "expected a model that wildcore.api.load returned, found str": lambda model: api.evaluate("pocket", "ft-m"),
    "fact: field 'target': expected at least one answer, found ' '": lambda model: api.fact("Gouda is from", " "),
    "unknown dataset 'pocketq'; did you mean 'pocketqa'?": lambda model: api.evaluate(model, "ft-m", dataset="pocketq"),
    "unknown protocol 'wildd'; did you mean 'wild'?": lambda model: api.evaluate(model, "ft-m", protocols="wildd"),
    "unknown protocol 'syntetic'; did you mean": lambda model: api.ask(model, "Where?", "syntetic"),
    "the right answer is read by its generator and its truncator": lambda model: api.ask(model, "Where?", "synthetic"),
    "it shows examples of a dataset": lambda model: api.ask(model, "Where?", context="few-shot"),
    "limit: Input should be greater than or equal to 1": lambda model: api.evaluate(model, "ft-m", limit=0),
    "limit takes the first cases and sample draws some": lambda model: api.evaluate(model, "ft-m", limit=1, sample=1),
    "schedule: Input should be 'single'": lambda model: api.evaluate(model, "ft-m", schedule="all"),
    "settings['editor.layer']: it is set twice": lambda model: api.evaluate(
        model, api.editor("ft-m", layer=1), settings={"editor.layer": 1}
    ),
    "unknown section 'edit'": lambda model: api.evaluate(model, "ft-m", settings={"edit.layer": 1}),
    "either an editor, to make edits, or a patch": lambda model: api.evaluate(model),
    "not a run folder": lambda model: api.score("nowhere", "exact-match"),
    "came without an answer": lambda model: api.score(api.ask(model, "Where?", **QUIET), "exact-match"),
    "compares with the unedited model's answers": lambda model: api.score(
        api.ask(model, api.question("Where?", "Here"), **QUIET), "unchanged"
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_gets_one_message(message: str, model: LoadedModel) -> None:
    with pytest.raises(UserError) as refusal:
        REFUSED[message](model)
    assert message in str(refusal.value)
    assert refusal.value._render_traceback_() == [f"UserError: {refusal.value}"]


def test_a_patch_fits_only_its_model_and_one_that_carries_a_patch_is_not_edited(model: LoadedModel) -> None:
    patch = api.edit(model, api.editor("ft-m", steps=1), FACT, **QUIET)
    half = api.load("pocket", dtype="bfloat16", **QUIET)
    for call in (lambda: api.ask(half, "Where?", patch=patch), lambda: api.evaluate(half, patch=patch, limit=1)):
        with pytest.raises(UserError, match=r"made for pocket \(dtype float32, not bfloat16.*dtype='float32'"):
            call()
    with pytest.raises(UserError, match="not bfloat16"), patch.applied(half):
        pass
    for inner in (patch, patch.patch, api.edit(model, api.editor("grace", steps=1), FACT, **QUIET)):
        with inner.applied(model):
            for call in (lambda: api.edit(model, "ft-m", FACT), lambda: api.ask(model, "Where?")):
                with pytest.raises(UserError, match="a patch is applied to it now"):
                    call()


def test_progress_is_shown_unless_it_is_switched_off(
    model: LoadedModel, fine_tuning: api.EditorChoice, capsys: pytest.CaptureFixture[str]
) -> None:
    api.evaluate(model, fine_tuning, limit=1, protocols="wild")
    assert "ft-m: 1/1" in capsys.readouterr().err
    api.evaluate(model, fine_tuning, limit=1, protocols="wild", progress=False)
    said = capsys.readouterr()
    assert said.out == said.err == ""
