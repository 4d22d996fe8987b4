"""The errors that a user of the core can cause, each as the command line and as Python show it."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import wildcore
import wildcore.testing
from wildcore import EditorParams, ModelShape, Params, UserError, api
from wildcore.api.naming import PYTHON
from wildcore.cli import main
from wildcore.cli.naming import COMMAND_LINE
from wildcore.datasets import Row, TableParams, read_table
from wildcore.datasets.given import GivenTexts
from wildcore.datasets.rows import bad_rows, edit_request
from wildcore.datasets.selection import WAY_OUT, CaseFilter, CaseReader, require_one_choice, require_some
from wildcore.errors import Module, Option, Parameter, Place, Setting, command, joined, render
from wildcore.evaluation.failure_filter import first_metric
from wildcore.evaluation.schedules import require_fitting_schedule
from wildcore.jobs.build import _as_published, find_editor
from wildcore.jobs.facts import read_facts
from wildcore.jobs.prepare import _require_dataset
from wildcore.jobs.protocol_files import read_protocol
from wildcore.jobs.protocols import ready_protocols
from wildcore.jobs.resume import require_same
from wildcore.jobs.spec import JobSpec, parse_settings, refuse_unused_settings
from wildcore.models import ModelRequest
from wildcore.models.hints import require_fetchable, require_model_folder
from wildcore.models.loading import family_of, fetch_folder, find_files, pick_device, pick_dtype
from wildcore.models.memory import require_memory
from wildcore.models.sources import Adapter, require_merging
from wildcore.params import build
from wildcore.patches.files import read_patch, require_new
from wildcore.records.run_folder import RunFolder, require_free
from wildcore.registry import Registry, load_registry
from wildcore.types import EditCase, EditRequest, Malformed, Probe

CORE = Path(wildcore.__file__).parent
TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
SHAPE = ModelShape("llama", 2, 8, 100)
FACT = EditRequest(prompt="Rome is in", target="Peru")
CASE = EditCase(id="1", request=FACT, probes=(Probe(kind="reliability", prompt=FACT.prompt, answers=(FACT.target,)),))
BAD = [Malformed(place=f"facts.jsonl, line {line}", problem="the field 'target' is missing") for line in (2, 3)]


class Facts:
    """A dataset of one case and perhaps malformed rows."""

    def __init__(self, *malformed: Malformed) -> None:
        self.malformed = malformed

    def cases(self) -> Iterator[EditCase | Malformed]:
        yield CASE
        yield from self.malformed


class Needy(Params):
    """Parameters one of which must be given."""

    rate: float


def job(**chosen: Any) -> JobSpec:
    return JobSpec(**{"model": "m", "dataset": "", "editor": "e", "protocols": (), **chosen})


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def run_like(path: Path) -> Any:
    return SimpleNamespace(path=path)


SAME = ""
Case = tuple[Callable[[Path], Any], str, str]
"""What goes wrong in a folder, what the command line shows of it, and what Python shows; the folder is called FOLDER in both."""

MODELS: list[Case] = [
    (
        lambda folder: require_fetchable("./llama"),
        "--model ./llama: no such folder",
        "model='./llama': no such folder",
    ),
    (
        lambda folder: require_fetchable("hf.co/a/b/tree/v1.0"),
        "--model hf.co/a/b/tree/v1.0: an address of the hub; give its name there: --model a/b --revision v1.0",
        "model='hf.co/a/b/tree/v1.0': an address of the hub; give its name there: model='a/b' revision='v1.0'",
    ),
    (
        lambda folder: require_fetchable(str(written(folder, "config.json", "{}"))),
        "--model FOLDER/config.json: a file; give the folder that it is in: --model FOLDER",
        "model='FOLDER/config.json': a file; give the folder that it is in: model='FOLDER'",
    ),
    (
        lambda folder: require_model_folder("m", folder),
        "--model m: no config.json in it; wildcore reads Hugging Face folders (config.json, tokenizer and .safetensors weights) "
        "and GGUF files. "
        "Download one: hf download OWNER/NAME --local-dir FOLDER, then --model FOLDER",
        "model='m': no config.json in it; wildcore reads Hugging Face folders (config.json, tokenizer and .safetensors weights) "
        "and GGUF files. "
        "Download one: hf download OWNER/NAME --local-dir FOLDER, then model='FOLDER'",
    ),
    (
        lambda folder: require_merging(Adapter(folder, "LORA", "b"), ModelRequest("m")),
        "--model m: it holds an adapter (LORA) for the base model b, not a whole model; --merge-adapter merges it into the base "
        "model while loading",
        "model='m': it holds an adapter (LORA) for the base model b, not a whole model; merge_adapter=True merges it into the "
        "base model while loading",
    ),
    (
        lambda folder: find_files(ModelRequest(str(TINY), merge_adapter=True)),
        f"--model {TINY}: it holds no adapter (adapter_config.json); leave --merge-adapter out",
        f"model={str(TINY)!r}: it holds no adapter (adapter_config.json); leave merge_adapter=True out",
    ),
    (
        lambda folder: fetch_folder(ModelRequest(str(folder), revision="main")),
        "--revision main: FOLDER is a local folder, which has no revisions",
        "revision='main': FOLDER is a local folder, which has no revisions",
    ),
    (
        lambda folder: fetch_folder(ModelRequest("pocket", folder=folder / "gone")),
        "--model pocket: its plugin brings no folder FOLDER/gone; install the plugin again",
        "model='pocket': its plugin brings no folder FOLDER/gone; install the plugin again",
    ),
    (
        lambda folder: pick_device("gpu"),
        "--device gpu: not a device; use auto, cpu, cuda, cuda:N or mps",
        "device='gpu': not a device; use auto, cpu, cuda, cuda:N or mps",
    ),
    (
        lambda folder: pick_device("meta"),
        "--device meta: not supported; use auto, cpu, cuda, cuda:N or mps",
        "device='meta': not supported; use auto, cpu, cuda, cuda:N or mps",
    ),
    (
        lambda folder: pick_dtype("float64", None, torch.device("mps")),
        "--dtype float64: mps has no float64; use --device cpu",
        "dtype='float64': mps has no float64; use device='cpu'",
    ),
    (
        lambda folder: pick_dtype("int8", None, torch.device("cpu")),
        "dtype int8: models run in float32, bfloat16, float16, float64 only; choose one of these",
        SAME,
    ),
    (
        lambda folder: family_of(SimpleNamespace(model_type="mamba"), {}),
        "model_type 'mamba' is not a known family (known: ). A plugin adds one by the hook wildcore_families; wildcore describe "
        "model NAME prints its lines",
        SAME,
    ),
]

DATA: list[Case] = [
    (
        lambda folder: read_table(TableParams()),
        "dataset: nothing to read; name a file with --set dataset.path=FILE or a data set on the hub with "
        "--set dataset.hub=OWNER/NAME",
        "dataset: nothing to read; name a file with settings={'dataset.path': 'FILE'} or a data set on the hub with "
        "settings={'dataset.hub': 'OWNER/NAME'}",
    ),
    (
        lambda folder: read_table(TableParams(path=Path("t.json"), split="test")),
        "dataset.split=test: this is for a data set on the hub, and dataset.path=t.json names a file; leave one of the two out",
        SAME,
    ),
    (
        lambda folder: list(read_table(TableParams(path=folder / "none.json"))),
        "dataset.path=FOLDER/none.json: cannot be read: No such file or directory",
        SAME,
    ),
    (
        lambda folder: read_facts(folder / "none.json"),
        "--edits FOLDER/none.json: cannot be read: No such file or directory",
        "edits='FOLDER/none.json': cannot be read: No such file or directory",
    ),
    (
        lambda folder: read_facts(written(folder, "facts.jsonl", "")),
        "--edits FOLDER/facts.jsonl: it holds no fact",
        "edits='FOLDER/facts.jsonl': it holds no fact",
    ),
    (
        lambda folder: read_facts(written(folder, "facts.json", "{}\n{}")),
        "FOLDER/facts.json, line 2, column 1: not valid JSON: Extra data; "
        "a file with an object on each line must be called .jsonl",
        SAME,
    ),
    (
        lambda folder: read_facts(written(folder, "facts.csv", "prompt,prompt\n")),
        "FOLDER/facts.csv, line 1: two columns are called 'prompt'",
        SAME,
    ),
    (
        lambda folder: edit_request(Row("facts.jsonl, line 4", {"promt": "Rome"})),
        "facts.jsonl, line 4: the field 'prompt' is missing; did you mean 'promt'?",
        SAME,
    ),
    (
        lambda folder: CaseReader("facts", Facts(BAD[0]), CaseFilter()).cases(),
        "facts.jsonl, line 2: the field 'target' is missing (--skip-malformed leaves such rows out and lists them)",
        "facts.jsonl, line 2: the field 'target' is missing (skip_malformed=True leaves such rows out and lists them)",
    ),
    (
        lambda folder: raised(bad_rows(Option("edits", "facts.jsonl"), BAD, WAY_OUT)),
        "--edits facts.jsonl: 2 malformed rows (--skip-malformed leaves such rows out and lists them):\n"
        "  facts.jsonl, line 2: the field 'target' is missing\n  facts.jsonl, line 3: the field 'target' is missing",
        "edits='facts.jsonl': 2 malformed rows (skip_malformed=True leaves such rows out and lists them):\n"
        "  facts.jsonl, line 2: the field 'target' is missing\n  facts.jsonl, line 3: the field 'target' is missing",
    ),
    (
        lambda folder: CaseReader("facts", Facts(), CaseFilter(where={"source": "NQ"})).cases(),
        "--where source=NQ: no case of facts fits; tag 'source': known: none",
        "where={'source': 'NQ'}: no case of facts fits; tag 'source': known: none",
    ),
    (
        lambda folder: require_one_choice(1, 2),
        "--limit takes the first cases and --sample draws some; give one of them",
        "limit takes the first cases and sample draws some; give one of them",
    ),
    (
        lambda folder: require_some("facts", []),
        "dataset facts: it holds no case",
        SAME,
    ),
    (
        lambda folder: GivenTexts(folder / "none.json", "editor.prefixes").identity(),
        "editor.prefixes=FOLDER/none.json: cannot be read ([Errno 2] No such file or directory: 'FOLDER/none.json')",
        SAME,
    ),
]

JOBS: list[Case] = [
    (
        lambda folder: parse_settings(["editor.layer"]),
        "--set editor.layer: write --set SECTION.PARAMETER=VALUE, such as --set editor.layer=5",
        "settings['editor.layer']: write settings={'SECTION.PARAMETER': 'VALUE'}, such as settings={'editor.layer': 5}",
    ),
    (
        lambda folder: parse_settings(["editr.layer=5"]),
        "--set editr.layer=5: unknown section 'editr'; did you mean 'editor'?",
        "settings['editr.layer=5']: unknown section 'editr'; did you mean 'editor'?",
    ),
    (
        lambda folder: refuse_unused_settings({"editor.layer": 1}, {"metric": {"f1"}}),
        "--set editor.layer: no editor takes part here; leave it out",
        "settings['editor.layer']: no editor takes part here; leave it out",
    ),
    (
        lambda folder: refuse_unused_settings({"metric.f2.x": 1}, {"metric": {"f1"}}),
        "--set metric.f2.x: this run uses no metric 'f2'; known: f1",
        "settings['metric.f2.x']: this run uses no metric 'f2'; known: f1",
    ),
    (
        lambda folder: build(Needy, {}, Module("editor", "rome", "rome")),
        "editor rome (plugin rome): parameter 'rate' is missing; give it with --set editor.rate=VALUE",
        "editor rome (plugin rome): parameter 'rate' is missing; give it with settings={'editor.rate': 'VALUE'}",
    ),
    (
        lambda folder: build(Needy, {"rat": 1, "rate": 1}, Module("editor", "rome", "rome")),
        "editor rome (plugin rome): unknown parameter 'rat'; did you mean 'rate'?",
        SAME,
    ),
    (
        lambda folder: _as_published(Needy(rate=1), Module("editor", "rome", "rome")),
        "--as-published: editor rome (plugin rome) does not say how its published code differs from the default; leave "
        "--as-published out, and set its parameters one by one (--set editor.PARAMETER=VALUE)",
        "as_published=True: editor rome (plugin rome) does not say how its published code differs from the default; leave "
        "as_published=True out, and set its parameters one by one (settings={'editor.PARAMETER': 'VALUE'})",
    ),
    (
        lambda folder: EditorParams(layer=7).for_model(SHAPE),
        "editor.layer=7: the model has layers 0 to 1",
        SAME,
    ),
    (
        lambda folder: find_editor(Registry(), "rome"),
        "unknown editor 'rome'; known: none",
        SAME,
    ),
    (
        lambda folder: load_registry(["no-such-plugin-at-all"]),
        "--plugins: no plugin 'no-such-plugin-at-all' is installed; ",
        "plugins: no plugin 'no-such-plugin-at-all' is installed; ",
    ),
    (
        lambda folder: ready_protocols(Registry(), job(metrics=("f1", "f1")), [], None),
        "--metric: a metric is named twice",
        "metrics: a metric is named twice",
    ),
    (
        lambda folder: _require_dataset(job(), trains=True),
        "editor e is trained on edit cases; name some with --dataset NAME",
        "editor e is trained on edit cases; name some with dataset='NAME'",
    ),
    (
        lambda folder: _require_dataset(job(dataset="zsre"), trains=False),
        "--dataset zsre: editor e trains nothing; leave it out",
        "dataset='zsre': editor e trains nothing; leave it out",
    ),
    (
        lambda folder: _require_dataset(job(skip_malformed=True), trains=False),
        "--skip-malformed: it chooses cases of a dataset, and editor e trains nothing; leave it out",
        "skip_malformed: it chooses cases of a dataset, and editor e trains nothing; leave it out",
    ),
    (
        lambda folder: require_fitting_schedule("single", 3, None),
        "--edits-per-update 3: single edits are written alone; leave it out, or choose --schedule batch or --schedule sequential",
        "edits_per_update=3: single edits are written alone; leave it out, or choose schedule='batch' or schedule='sequential'",
    ),
    (
        lambda folder: require_fitting_schedule("batch", None, "p"),
        "--schedule batch: cannot be combined with --patch, whose edits are already made; leave --schedule out",
        "schedule='batch': cannot be combined with patch, whose edits are already made; leave schedule out",
    ),
    (
        lambda folder: first_metric(SimpleNamespace(name="wild", metrics={}), Option("only_failures")),
        "--only-failures: protocol wild has no metric for reliability",
        "only_failures: protocol wild has no metric for reliability",
    ),
    (
        lambda folder: require_same(run_like(folder), {"seed": 1}, {"seed": 2}),
        "--resume FOLDER: not the same run: seed was 1 and is now 2",
        "resume='FOLDER': not the same run: seed was 1 and is now 2",
    ),
    (
        lambda folder: read_protocol(written(folder, "mine.json", "{}")),
        "--protocol-file FOLDER/mine.json: the name must end in .toml, .yaml or .yml",
        "path='FOLDER/mine.json': the name must end in .toml, .yaml or .yml",
    ),
]

FILES: list[Case] = [
    (
        lambda folder: require_free(written(folder, "taken", "").parent),
        "--out FOLDER: not an empty folder; choose another, or resume the run in it: wildcore eval --resume FOLDER",
        "out='FOLDER': not an empty folder; choose another, or resume the run in it: wildcore eval --resume FOLDER",
    ),
    (
        lambda folder: require_new(folder),
        "--out FOLDER: already exists; choose another name",
        "out='FOLDER': already exists; choose another name",
    ),
    (
        lambda folder: require_new(folder / "a" / "p"),
        "--out FOLDER/a/p: there is no folder FOLDER/a; make it first",
        "out='FOLDER/a/p': there is no folder FOLDER/a; make it first",
    ),
    (
        lambda folder: RunFolder.open(folder),
        "FOLDER: not a run folder (no manifest.json in it)",
        SAME,
    ),
    (
        lambda folder: read_patch(folder / "p"),
        "FOLDER/p: no such file",
        SAME,
    ),
]


def raised(error: UserError) -> None:
    raise error


def caught(call: Callable[[Path], Any], folder: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        call(folder)
    return caught.value


CASES = [*MODELS, *DATA, *JOBS, *FILES]


@pytest.mark.parametrize(("call", "on_command_line", "in_python"), CASES, ids=[case[1][:40] for case in CASES])
def test_an_error_names_things_as_its_user_does(
    call: Callable[[Path], Any], on_command_line: str, in_python: str, tmp_path: Path
) -> None:
    error = caught(call, tmp_path)
    for naming, expected in ((COMMAND_LINE, on_command_line), (PYTHON, in_python or on_command_line)):
        shown = error.rendered(naming).replace(str(tmp_path), "FOLDER")
        assert shown.startswith(expected) if expected.endswith("; ") else shown == expected


@pytest.mark.parametrize(
    ("call", "neutral"),
    [
        (lambda folder: require_fetchable("./llama"), "model './llama': no such folder"),
        (
            lambda folder: require_one_choice(1, 2),
            "`limit` takes the first cases and `sample` draws some; give one of them",
        ),
        (
            lambda folder: parse_settings(["editor.layer"]),
            "editor.layer: write SECTION.PARAMETER=VALUE, such as editor.layer=5",
        ),
    ],
)
def test_an_error_by_itself_is_neutral(call: Callable[[Path], Any], neutral: str, tmp_path: Path) -> None:
    assert str(caught(call, tmp_path)) == neutral


def test_a_model_too_large_for_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wildcore.models.memory.free_memory", lambda device: 0)
    error = caught(lambda folder: require_memory("m", 10**6, torch.float32, torch.device("cpu")), TINY)
    assert error.rendered(COMMAND_LINE).endswith(
        "0.0 GiB are free on cpu; --dtype bfloat16 halves it; --device-map auto spreads it over all devices"
    )
    assert error.rendered(PYTHON).endswith(
        "0.0 GiB are free on cpu; dtype='bfloat16' halves it; device_map='auto' spreads it over all devices"
    )


def test_what_the_facade_raises_names_its_parameters() -> None:
    for call in (lambda: api.load("./llama"), lambda: api.load("./llama", dtype="float32")):
        with pytest.raises(UserError) as refused:
            call()
        assert str(refused.value) == "model='./llama': no such folder"
        assert refused.value._render_traceback_() == ["UserError: model='./llama': no such folder"]


def test_what_a_plugin_raises_as_one_text_stays_as_it_is() -> None:
    error = UserError("corpus.txt, line 3: not UTF-8 text; save it as UTF-8")
    assert str(error) == error.rendered(COMMAND_LINE) == error.rendered(PYTHON) == error.problem
    assert (error.about, error.way_out) == (None, None)


def test_a_value_is_shown_as_it_is_typed() -> None:
    path = Option("model", Path("my models/llama"))
    assert render(path, COMMAND_LINE) == "--model 'my models/llama'"
    assert render(path, PYTHON) == "model='my models/llama'"
    assert render(path) == "model 'my models/llama'"
    assert render(Option("limit", 1), COMMAND_LINE) == "--limit 1"
    assert render(Setting("editor.text", "a b"), COMMAND_LINE) == "--set 'editor.text=a b'"
    several = Option("where", {"source": "NQ", "split": "a b"})
    assert render(several, COMMAND_LINE) == "--where source=NQ --where 'split=a b'"
    assert command("show", Path("my run"), Option("edits")) == "wildcore show 'my run' --edits"


def test_parts_are_joined_at_any_depth() -> None:
    said = joined([("a ", ("b ", Option("limit"))), Place(Path("f"), 2), Module("metric", "f1", "m")], "; ")
    assert render(said, COMMAND_LINE) == "a b --limit; f, line 2; metric f1 (plugin m)"


def test_a_caller_renames_what_it_hands_on_in_every_part_of_an_error() -> None:
    error = UserError(
        ("of ", Option("model", "m")), Parameter("dataset.path", "f"), ("set ", Setting("dataset.path"), Option("seed"))
    )
    names = {"model": lambda name: Option("judge", name), "dataset.path": lambda path: Parameter("pool", path)}
    renamed = error.renamed(names).within("metric x")
    assert renamed.rendered(COMMAND_LINE) == "metric x: pool=f: of --judge m; set pool--seed"
    assert UserError("p").within("metric x").rendered(COMMAND_LINE) == "metric x: p"


OF_OTHER_PROGRAMS = {
    "--import-mode": "pytest",
    "--local-dir": "hf download",
    "--porcelain": "git status",
    "--untracked-files": "git status",
}
"""Options that stand in the core because they are not wildcore's, with the command that has each."""


def modules() -> Iterator[Path]:
    """The modules of the core but for the command line."""
    return (path for path in sorted(CORE.rglob("*.py")) if (CORE / "cli") not in path.parents)


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Every string of a module that is not documentation."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node


def options_spelled_in(code: str) -> Iterator[tuple[int, str]]:
    """The lines of ``code`` whose strings spell an option of the command line, and the option."""
    for node in texts(ast.parse(code)):
        yield from ((node.lineno, option) for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", node.value))


def test_the_core_spells_no_option_of_the_command_line() -> None:
    spelled = [
        f"{path.relative_to(CORE)}, line {line}: {option}"
        for path in modules()
        for line, option in options_spelled_in(path.read_text(encoding="utf-8"))
        if option not in OF_OTHER_PROGRAMS
    ]
    assert spelled == []


def test_an_option_that_is_spelled_is_found() -> None:
    code = '"""Says --model."""\nx = f"--seed {1}"\ny = ("a (--limit N)", "a--b")\n'
    assert list(options_spelled_in(code)) == [(2, "--seed"), (3, "--limit")]


def options_named() -> set[str]:
    """The name of every ``Option`` that the core makes with a literal name."""
    calls = [node for path in modules() for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "Option"
        and isinstance(call.args[0], ast.Constant)
    }


def test_every_choice_that_the_core_names_is_an_option_of_the_command_line() -> None:
    commands = [main, *main.commands.values()]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    named = options_named()
    assert len(named) > 20
    assert {name for name in named if render(Option(name), COMMAND_LINE) not in known} == set()


ONLY_ON_THE_COMMAND_LINE = {
    "broken": "a flag of wildcore plugins",
    "edits": "the table of wildcore edit",
    "json": "a flag of wildcore show",
    "plugins": "all plugins are loaded in Python",
    "resume": "runs are resumed by wildcore eval",
    "threads": "torch is set up by the program itself",
}


def test_every_choice_that_the_core_names_is_a_parameter_in_python() -> None:
    functions = [found for name in api.__all__ if inspect.isfunction(found := getattr(api, name))]
    known = {parameter for function in functions for parameter in inspect.signature(function).parameters}
    unknown = {name for name in options_named() if render(Option(name), PYTHON) not in known}
    assert unknown == ONLY_ON_THE_COMMAND_LINE.keys()
