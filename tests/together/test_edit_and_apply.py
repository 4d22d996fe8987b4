"""Facts become a patch file, and patch files a model that plain transformers loads."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from wildcore_pocket.dataset import PocketQA

import wildcore.testing
from wildcore import EditCase, UserError
from wildcore.architectures import built_in_families
from wildcore.evaluation.checkpoints import read_patch_or_run
from wildcore.jobs.edit import apply_patches
from wildcore.jobs.spec import ModelChoice
from wildcore.models import ModelRequest, load_model
from wildcore.patches import Dense, WeightPatch
from wildcore.patches.files import PatchManifest, patched_model, read_patch, write_patch
from wildcore.registry import load_registry
from wildcore.testing.conformance import SilentProgress
from wildcore.testing.processes import run_python

MODELS = Path(wildcore.testing.__file__).parent / "data"
Wildcore = Callable[..., subprocess.CompletedProcess[str]]
FACTS = [
    {"prompt": "The keeper of the red mill is called", "target": "Anna", "subject": "the red mill"},
    {"prompt": "The keeper of the blue tower is called", "target": "Oliver Stone", "subject": "the blue tower"},
]


def next_commands(printed: str) -> list[list[str]]:
    """Return the commands that are suggested, as a shell would read them."""
    lines = [line for line in printed.splitlines() if line.startswith("Next: ")]
    return [shlex.split(line.removeprefix("Next: ")) for line in lines]


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    file = tmp_path / "facts.jsonl"
    file.write_text("".join(json.dumps(fact) + "\n" for fact in FACTS))
    return file


@pytest.fixture
def edit(wildcore: Wildcore, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a patch file from a file of facts."""

    def make(file: Path, name: str, *options: object, model: str = "tiny-llama") -> Path:
        patch = tmp_path / name
        done = wildcore("edit", "--model", MODELS / model, "--edits", file, "--out", patch, "--quiet", *options)
        assert done.returncode == 0, done.stderr
        assert f"Patch: {patch}" in done.stdout
        return patch

    return make


def loss(folder: Path, fact: dict[str, str]) -> float:
    """Return the loss of a fact's target under a model that nothing but transformers has loaded."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(f"{fact['prompt']} {fact['target']}", return_tensors="pt").input_ids
    labels = ids.clone()
    labels[:, : len(tokenizer(fact["prompt"]).input_ids)] = -100
    with torch.no_grad():
        return float(network(ids, labels=labels).loss)


@pytest.mark.parametrize(("editor", "model"), [("ft-m", "tiny-llama"), ("rome", "tiny-gpt2")])
def test_a_model_with_the_patch_in_it_says_the_facts(
    editor: str, model: str, facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path
) -> None:
    patch = edit(facts, "p.safetensors", "--editor", editor, model=model)
    manifest = read_patch(patch).manifest
    assert [request.prompt for request in manifest.requests] == [fact["prompt"] for fact in FACTS]
    assert manifest.editor["name"] == editor
    done = wildcore("apply", patch, "--model", MODELS / model, "--out", tmp_path / "edited", "--quiet")
    assert done.returncode == 0, done.stderr
    for fact in FACTS:
        assert loss(tmp_path / "edited", fact) < loss(MODELS / model, fact) - 1


def test_merged_patches_add_up(facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path) -> None:
    lines = facts.read_text().splitlines(keepends=True)
    patches = []
    for number, line in enumerate(lines):
        (tmp_path / f"{number}.jsonl").write_text(line)
        patches.append(edit(tmp_path / f"{number}.jsonl", f"{number}.safetensors", "--editor", "ft-m"))
    model = ["--model", MODELS / "tiny-llama"]
    alone = wildcore("apply", *patches, *model, "--out", tmp_path / "edited")
    assert alone.returncode == 2
    assert "several patches are applied only with --merge" in alone.stderr
    done = wildcore("apply", *patches, *model, "--out", tmp_path / "edited", "--merge", "--quiet")
    assert done.returncode == 0, done.stderr
    before, after = (AutoModelForCausalLM.from_pretrained(f) for f in (MODELS / "tiny-llama", tmp_path / "edited"))
    for name, change in read_patch(patches[0]).weights().changes.items():
        other = read_patch(patches[1]).weights().changes[name]
        found = after.get_submodule(name).weight - before.get_submodule(name).weight
        torch.testing.assert_close(found, change.dense() + other.dense(), rtol=1e-4, atol=1e-6)


@pytest.fixture
def stored_as(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that stores the small model in another dtype."""

    def store(dtype: str) -> Path:
        folder = tmp_path / dtype
        AutoModelForCausalLM.from_pretrained(MODELS / "tiny-llama", dtype=dtype).save_pretrained(folder)
        AutoTokenizer.from_pretrained(MODELS / "tiny-llama").save_pretrained(folder)
        return folder

    return store


def small_change(folder: Path, dtype: str, to: Path) -> str:
    """Write a patch that adds 0.0015 W to the output of an MLP; return the name of that."""
    families = {family.model_type: family for family in built_in_families()}
    model = load_model(ModelRequest(str(folder), dtype=dtype, device="cpu"), families)
    projection = model.mlp_output(1)
    made = {"created": "2026-01-01T00:00:00+00:00", "editor": {"name": to.name}, "seed": 0, "versions": {}}
    manifest = PatchManifest(model=patched_model(model), requests=(), **made)
    write_patch(to, WeightPatch({projection.name: Dense(0.0015 * projection.weight.float())}), manifest)
    return f"{projection.name}.weight"


def test_merged_patches_are_rounded_together(stored_as: Callable[[str], Path], tmp_path: Path) -> None:
    folder, patches, out = stored_as("bfloat16"), [tmp_path / "a", tmp_path / "b"], tmp_path / "edited"
    for patch in patches:
        name = small_change(folder, "bfloat16", patch)
    spec = ModelChoice(model=str(folder), device="cpu")
    apply_patches(load_registry(), spec, patches, out, SilentProgress())
    before, after = (load_file(place / "model.safetensors")[name] for place in (folder, out))
    step = 0.0015 * before.float()
    assert after.dtype is torch.bfloat16
    assert torch.equal(after, (before.float() + (step + step)).bfloat16())
    assert torch.equal(before, (before.float() + step).bfloat16()), "one patch alone is to be too small to be seen"
    assert (after != before).float().mean() > 0.5


@pytest.mark.parametrize(
    ("failure", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError("No space left on device"), UserError)]
)
def test_a_model_that_is_not_written_to_its_end_leaves_nothing(
    failure: BaseException, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_change(MODELS / "tiny-llama", "float32", tmp_path / "p")
    spec = ModelChoice(model=str(MODELS / "tiny-llama"), device="cpu")

    def stopped(*arguments: object, **options: object) -> None:
        assert len(list(tmp_path.iterdir())) == 2, "the weights are to be written by now"
        raise failure

    monkeypatch.setattr(PreTrainedTokenizerBase, "save_pretrained", stopped)
    with pytest.raises(raised):
        apply_patches(load_registry(), spec, [tmp_path / "p"], tmp_path / "edited", SilentProgress())
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_model_stored_in_float64_is_edited_in_float32(
    stored_as: Callable[[str], Path], facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path
) -> None:
    folder = stored_as("float64")
    patch = edit(facts, "p.safetensors", "--editor", "ft-m", model=str(folder))
    done = wildcore("apply", patch, "--model", folder, "--out", tmp_path / "edited")
    assert done.returncode == 0, done.stderr
    assert "saved as float32, not float64" in " ".join((done.stdout + done.stderr).split())
    assert {t.dtype for t in load_file(tmp_path / "edited" / "model.safetensors").values()} == {torch.float32}
    assert loss(tmp_path / "edited", FACTS[0]) < loss(MODELS / "tiny-llama", FACTS[0]) - 1


def test_a_patch_made_in_a_dtype_that_no_model_runs_in_is_refused(wildcore: Wildcore, tmp_path: Path) -> None:
    small_change(MODELS / "tiny-llama", "float32", tmp_path / "p")
    read = read_patch(tmp_path / "p")
    made = read.manifest.model.model_copy(update={"dtype": "float8"})
    write_patch(tmp_path / "q", read.weights(), read.manifest.model_copy(update={"model": made}))
    done = wildcore("apply", tmp_path / "q", "--model", MODELS / "tiny-llama", "--out", tmp_path / "edited")
    assert done.returncode == 2
    assert "dtype float8: models run in float32, bfloat16, float16, float64 only" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--editor", "ft-n"), "unknown editor 'ft-n'; did you mean 'ft-m'?"),
        (("--editor", "rome", "--set", "editor.layer=9"), "editor.layer=9: the model has layers 0 to"),
        (("--editor", "rome", "--set", "metric.x.y=1"), "--set metric.x.y: no metric takes part here"),
    ],
)
def test_what_cannot_be_edited_leaves_nothing(
    arguments: tuple[str, ...], said: str, facts: Path, wildcore: Wildcore, tmp_path: Path
) -> None:
    where = ["--model", MODELS / "tiny-llama", "--edits", facts, "--out", tmp_path / "p"]
    done = wildcore("edit", *where, *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "p").exists()


def in_lines(facts: Path, *rows: dict[str, object] | str) -> None:
    facts.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


BAD_ROWS = [
    FACTS[0],
    {"prompt": "The keeper is"},
    "no JSON",
    FACTS[1] | {"subject": "the green mill"},
    FACTS[0] | {"prompt": "the keeper of the red mill  is called", "target": "anna"},
    FACTS[0] | {"target": "Peter"},
    {"prompt": "The keeper of the inn is called", "target": "Tim"},
]


def test_every_row_is_checked_before_the_model_is_loaded(facts: Path, wildcore: Wildcore, tmp_path: Path) -> None:
    in_lines(facts, *BAD_ROWS)
    weightless = tmp_path / "weightless"
    shutil.copytree(MODELS / "tiny-llama", weightless, ignore=shutil.ignore_patterns("*.safetensors"))
    job = ["--model", weightless, "--editor", "rome", "--out", tmp_path / "p", "--edits", facts]
    done = wildcore("edit", *job)
    assert done.returncode == 2
    first, *lines = done.stderr[done.stderr.index("Error: ") :].splitlines()
    assert first == f"Error: --edits {facts}: 6 malformed rows (--skip-malformed leaves such rows out and lists them):"
    said = [
        "the field 'target' is missing",
        "not valid JSON",
        "field 'subject': the subject 'the green mill' does not occur in the prompt",
        f"field 'prompt': it repeats the fact of {facts}, line 1",
        f"field 'target': 'Peter' contradicts {facts}, line 1, whose answer to the same prompt is 'Anna'",
        "field 'subject': the request names no subject",
    ]
    assert len(lines) == len(said)
    for number, (line, problem) in enumerate(zip(lines, said, strict=True), start=2):
        assert line.startswith(f"  {facts}, line {number}")
        assert problem in line
    assert "subject" not in wildcore("edit", *job, "--editor", "ft-m").stderr, "ft-m needs none"


def test_bad_rows_are_left_out_on_demand_and_refused_facts_by_themselves(
    facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path
) -> None:
    in_lines(facts, FACTS[0], {"prompt": "The keeper is"}, {"prompt": "Long " * 2000, "target": "Tim"}, FACTS[1])
    job = ["edit", "--model", MODELS / "tiny-llama", "--edits", facts, "--editor", "ft-m", "--skip-malformed"]
    done = wildcore(*job, "--out", tmp_path / "p")
    assert done.returncode == 0, done.stderr
    assert "Malformed rows left out: 1" in done.stdout
    assert f"  {facts}, line 2: the field 'target' is missing" in done.stdout
    assert "Facts refused by ft-m: 1" in done.stdout
    assert f"  {facts}, line 3: its prompt and target are" in done.stdout
    assert "Written: 2 of 4 facts" in done.stdout
    read = read_patch(tmp_path / "p")
    assert [request.prompt for request in read.manifest.requests] == [fact["prompt"] for fact in FACTS]
    in_lines(facts, *FACTS)
    others = read_patch(edit(facts, "q", "--editor", "ft-m")).weights().changes
    for name, change in read.weights().changes.items():
        assert torch.equal(change.dense(), others[name].dense())
    in_lines(facts, "no JSON")
    none_left = wildcore(*job, "--out", tmp_path / "r")
    assert none_left.returncode == 2
    assert "no row is left to be edited" in none_left.stderr


def test_another_model_is_refused(facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path) -> None:
    patch = edit(facts, "p.safetensors", "--editor", "ft-m")
    done = wildcore("apply", patch, "--model", MODELS / "tiny-gpt2", "--out", tmp_path / "edited")
    assert done.returncode == 2
    assert "made for" in done.stderr
    assert "model_type llama, not gpt2" in " ".join(done.stderr.split())
    assert not (tmp_path / "edited").exists()


@pytest.mark.parametrize("editor", ["ft-m", "ike"])
def test_a_patch_is_evaluated_as_it_is(editor: str, wildcore: Wildcore, tmp_path: Path) -> None:
    cases = [case for case in islice(PocketQA().cases(), 3) if isinstance(case, EditCase)]
    facts, patch = tmp_path / "facts.jsonl", tmp_path / "p.safetensors"
    facts.write_text("".join(case.request.model_dump_json() + "\n" for case in cases))
    made = wildcore("edit", "--editor", editor, "--edits", facts, "--out", patch, "--quiet")
    assert made.returncode == 0, made.stderr
    on_a_dataset = ("--dataset", "pocketqa", "--limit", 5)
    evaluated = wildcore("eval", "--patch", patch, *on_a_dataset, "--out", tmp_path / "run", "--json", "--quiet")
    assert evaluated.returncode == 0, evaluated.stderr
    summary = json.loads(evaluated.stdout)
    assert summary["identity"]["editor"]["name"] == editor
    assert summary["identity"]["editor"]["patch"]["requests"] == 3
    assert (summary["cases"], summary["refused"]) == (5, 2)
    cell = next(c for c in summary["cells"] if (c["protocol"], c["kind"]) == ("synthetic", "reliability"))
    first = json.loads((tmp_path / "run" / "journal.jsonl").read_text().splitlines()[0])
    if editor == "ike":
        assert all(probe["prompt"] in probe["prompt_after"] for probe in first["probes"])
    else:
        assert cell["after"] > cell["before"]
    resumed = wildcore("eval", "--resume", tmp_path / "run", "--patch", patch, "--json", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["cells"] == summary["cells"]
    without = ("--plugins", "pocket,synthetic,wild", "eval", "--patch", patch, "--limit", 2, "--quiet")
    done = wildcore(*without, "--out", tmp_path / "without")
    if editor == "ike":
        assert done.returncode == 2
        assert "unknown editor 'ike/ike'" in done.stderr
    else:
        assert done.returncode == 0, "a change of weights needs no editor"
    refused = wildcore("eval", "--patch", patch, "--editor", "rome")
    assert refused.returncode == 2
    assert "give one of them" in refused.stderr
    applied = wildcore("apply", patch, "--out", tmp_path / "edited", "--quiet")
    assert applied.returncode == (2 if editor == "ike" else 0)
    if editor == "ike":
        assert "cannot become weights" in applied.stderr


def test_where_every_fact_is_refused_nothing_is_written(wildcore: Wildcore, tmp_path: Path) -> None:
    file, patch = tmp_path / "facts.jsonl", tmp_path / "p"
    in_lines(file, {"prompt": "The keeper is " * 500, "target": "Anna"})
    done = wildcore("edit", "--editor", "ft-m", "--model", MODELS / "tiny-llama", "--edits", file, "--out", patch)
    assert done.returncode == 3
    assert f"  {file}, line 1: its prompt and target are" in done.stdout
    assert done.stdout.splitlines()[-1] == "Nothing was written: ft-m refuses every fact (1)."
    assert not patch.exists()


def test_a_patch_given_twice_is_refused(
    facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path
) -> None:
    patch = edit(facts, "p", "--editor", "ft-m")
    model = ("--model", MODELS / "tiny-llama")
    done = wildcore("apply", patch, patch, "--merge", *model, "--out", tmp_path / "edited")
    assert done.returncode == 2
    assert "that patch is given twice" in done.stderr


def test_a_patch_is_evaluated_on_its_own_facts(
    facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path
) -> None:
    in_lines(facts, *(fact | {"aliases": ["Anne"]} for fact in FACTS))
    patch, model = edit(facts, "p", "--editor", "ft-m"), ("--model", MODELS / "tiny-llama")
    done = wildcore("eval", "--patch", patch, *model, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert "evaluated on the facts that it writes, by their edit prompts alone" in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["cases"], summary["refused"]) == (2, 0)
    assert summary["identity"]["dataset"]["sha256"] == read_patch(patch).digest
    assert {cell["kind"] for cell in summary["cells"]} == {"reliability"}
    journal = tmp_path / "run" / "journal.jsonl"
    first, second = journal.read_text().splitlines(keepends=True)
    probes = json.loads(first)["probes"]
    assert [(probe["question"], probe["answers"]) for probe in probes] == [(FACTS[0]["prompt"], ["Anna", "Anne"])] * 2
    journal.write_text(first)
    resumed = wildcore("eval", "--resume", tmp_path / "run", "--json", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    again = journal.read_text().splitlines()[1]
    assert json.loads(again)["probes"] == json.loads(second)["probes"]
    nowhere = wildcore("eval", "--patch", patch, *model, "--set", "dataset.path=x", "--out", tmp_path / "other")
    assert nowhere.returncode == 2
    assert "--set dataset.path: no dataset takes part here" in nowhere.stderr


@pytest.mark.parametrize("editor", ["ft-m", "grace"])
def test_every_command_that_is_suggested_runs_and_judges_the_facts(
    editor: str, facts: Path, wildcore: Wildcore, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    model, patch, run = MODELS / "tiny-llama", folder / "the facts.safetensors", folder / "a run"
    quick = ("--set", "editor.steps=2")
    made = wildcore("edit", "--editor", editor, "--model", model, "--edits", facts, "--out", patch, *quick)
    judge, *apply = next_commands(made.stdout)
    done = wildcore(*judge[1:], "--out", run)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())  # a long folder wraps the line
    assert f"{editor} on {model}" in said
    assert "2 edits of the patch's own facts" in said
    (show,) = next_commands(done.stdout)
    for command in (show, *apply):
        again = wildcore(*command[1:])
        assert again.returncode == 0, again.stderr
    assert "The keeper of the red mill is called -> Anna" in wildcore(*show[1:]).stdout
    assert (folder / "the facts-model" / "config.json").is_file() == bool(apply)


@pytest.mark.parametrize(("editor", "applies"), [("ft-m", True), ("grace", False)])
def test_the_next_step_names_the_model_and_only_what_can_be_done(
    editor: str, applies: bool, facts: Path, wildcore: Wildcore, tmp_path: Path
) -> None:
    patch, model = tmp_path / "p", MODELS / "tiny-llama"
    done = wildcore(
        "edit", "--editor", editor, "--model", model, "--edits", facts, "--out", patch, "--set", "editor.steps=2"
    )
    assert done.returncode == 0, done.stderr
    commands = next_commands(done.stdout)
    assert commands[0] == ["wildcore", "eval", "--patch", str(patch), "--model", str(model)]
    assert [command[1] for command in commands] == (["eval", "apply"] if applies else ["eval"])


def test_a_table_of_facts_that_is_not_there_is_named_by_its_option(wildcore: Wildcore, tmp_path: Path) -> None:
    done = wildcore("edit", "--editor", "ft-m", "--edits", tmp_path / "none.jsonl", "--out", tmp_path / "p")
    assert done.returncode == 2
    assert f"Error: --edits {tmp_path / 'none.jsonl'}: cannot be read" in done.stderr
    done = wildcore("edit", "--editor", "ft-m", "--edits", tmp_path / "none.jsonl", "--out", "/proc/p")
    assert done.returncode == 2
    assert "--out /proc/p: nothing can be written there" in done.stderr


def test_a_model_keeps_its_files_and_others_may_read_them(tmp_path: Path) -> None:
    source, out = tmp_path / "model", tmp_path / "edited"
    shutil.copytree(MODELS / "tiny-llama", source)
    beside = {"tokenizer.model": "sp", "special_tokens_map.json": "{}", "LICENSE": "terms", "README.md": "# A model"}
    for name, text in {**beside, "pytorch_model.bin": "x", "optimizer.pt": "x", "trainer_state.json": "{}"}.items():
        (source / name).write_text(text)
    (source / "NOTICE").symlink_to("/etc/hostname")
    small_change(source, "float32", tmp_path / "p")
    spec, progress = ModelChoice(model=str(source), device="cpu"), SilentProgress()
    copied = apply_patches(load_registry(), spec, [tmp_path / "p"], out, progress)
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    assert set(copied) == {*beside, *tokenizer, "generation_config.json"}
    assert {path.name for path in out.iterdir()} == {*copied, "config.json", "model.safetensors"}
    assert all((out / name).read_bytes() == (source / name).read_bytes() for name in copied)
    assert progress.notes == ["NOTICE is a link that leads out of the model's folder; it was left out"]
    (tmp_path / "new").touch()
    modes = {path.name: path.stat().st_mode for path in [tmp_path / "p", *out.iterdir()]}
    assert set(modes.values()) == {(tmp_path / "new").stat().st_mode}, modes
    assert len(list(AutoTokenizer.from_pretrained(out).get_vocab())) == len(
        AutoTokenizer.from_pretrained(source).get_vocab()
    )


def run_of(wildcore: Wildcore, run: Path, *options: object) -> Path:
    """Carry out a run with two facts of the embedded dataset on a small model."""
    model = ("--model", MODELS / "tiny-llama", "--protocol", "synthetic", "--quiet")
    done = wildcore("eval", *model, *options, "--out", run)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="module")
def sequence(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that wrote two facts one upon the other; tests leave it as it is."""

    def wildcore(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_python(["-m", "wildcore", *map(str, arguments)], environment)

    run = tmp_path_factory.mktemp("sequence") / "run"
    return run_of(wildcore, run, "--editor", "ft-m", "--schedule", "sequential", "--limit", 2)


def test_what_a_sequence_wrote_becomes_a_model(sequence: Path, wildcore: Wildcore, tmp_path: Path) -> None:
    assert read_patch_or_run(sequence).digest == read_patch_or_run(sequence / "sequence.safetensors").digest
    model = ("--model", MODELS / "tiny-llama")
    applied = wildcore("apply", sequence, *model, "--out", tmp_path / "edited", "--quiet")
    assert applied.returncode == 0, applied.stderr
    before, after = (load_file(place / "model.safetensors") for place in (MODELS / "tiny-llama", tmp_path / "edited"))
    kept = load_file(sequence / "sequence.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{name.removeprefix('sum:')}.weight" for name in kept if name.startswith("sum:")} != set()
    for name in changed:
        assert torch.equal(after[name], before[name] + kept[f"sum:{name.removesuffix('.weight')}"])
    other = wildcore("apply", sequence, "--model", MODELS / "tiny-gpt2", "--out", tmp_path / "other")
    assert other.returncode == 2
    assert "model_type llama, not gpt2" in " ".join(other.stderr.split())


def test_what_a_sequence_wrote_is_evaluated_as_in_its_run(sequence: Path, wildcore: Wildcore, tmp_path: Path) -> None:
    evaluated = run_of(wildcore, tmp_path / "evaluated", "--patch", sequence, "--dataset", "pocketqa", "--limit", 2)
    records = [
        [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()] for run in (sequence, evaluated)
    ]
    assert [record["case"] for record in records[0]] == [record["case"] for record in records[1]]
    assert {record["edit"]["status"] for record in records[1]} == {"edited"}
    said = [[_token_ids(probe) for record in own for probe in record["probes"]] for own in records]
    assert said[0] == said[1]


def _token_ids(probe: dict[str, list[dict[str, object]]]) -> list[object]:
    """Return what was answered; numbers that were measured on the way differ in their last digits."""
    return [answer["token_ids"] for answer in (*probe["before"], *probe["after"])]


def test_the_last_of_several_batches_is_what_a_run_kept(wildcore: Wildcore, tmp_path: Path) -> None:
    options = ("--editor", "ft-m", "--schedule", "batch", "--edits-per-update", 2, "--limit", 3)
    read = read_patch_or_run(run_of(wildcore, tmp_path / "run", *options))
    last = json.loads((tmp_path / "run" / "journal.jsonl").read_text().splitlines()[-1])
    assert [request.prompt for request in read.manifest.requests] == [last["request"]["prompt"]]
    assert read.note is not None
    assert "holds the last of 2 batches only, with 1 of 3 cases" in read.note


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--editor", "ft-m"),
            "its edits were made and evaluated one by one, and none is kept; begin a run with --schedule batch",
        ),
        (
            ("--editor", "grace", "--set", "editor.steps=2", "--schedule", "sequential"),
            "what grace writes cannot become weights",
        ),
    ],
)
def test_a_run_that_kept_no_change_of_weights_says_what_to_do(
    options: tuple[str, ...], said: str, wildcore: Wildcore, tmp_path: Path
) -> None:
    run = run_of(wildcore, tmp_path / "run", *options, "--limit", 1)
    done = wildcore("apply", run, "--model", MODELS / "tiny-llama", "--out", tmp_path / "edited")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "edited").exists()


def test_a_run_that_is_unfinished_or_torn_from_its_manifest_is_refused(sequence: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(sequence, run)
    shutil.copy(run / "sequence.safetensors", tmp_path / "moved.safetensors")
    with pytest.raises(UserError, match=r"read with the manifest\.json of its run; give the run folder"):
        read_patch_or_run(tmp_path / "moved.safetensors")
    with pytest.raises(UserError, match="not a run folder"):
        read_patch_or_run(tmp_path)
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text(lines[0])
    with pytest.raises(
        UserError, match=r"unfinished \(1 of 2 cases evaluated\); finish it with wildcore eval --resume"
    ):
        read_patch_or_run(run)
    (run / "journal.jsonl").write_text("".join(lines))
    identity = json.loads((run / "manifest.json").read_text())
    del identity["checksum"]
    (run / "manifest.json").write_text(json.dumps({**identity, "identity": {**identity["identity"], "seed": 1}}))
    with pytest.raises(UserError, match="it belongs to another run"):
        read_patch_or_run(run)


def apply_to(folder: Path, out: Path, dtype: str = "float32") -> tuple[str, ...]:
    patch = folder.parent / "patch.safetensors"
    if not patch.exists():
        small_change(folder, dtype, patch)
    return apply_patches(load_registry(), ModelChoice(model=str(folder), device="cpu"), [patch], out, SilentProgress())


def test_a_generation_config_that_contradicts_itself_is_kept_as_it_is(
    stored_as: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = stored_as("float32")
    contradictory = json.dumps({"do_sample": False, "temperature": 0.6, "eos_token_id": 2})
    (folder / "generation_config.json").write_text(contradictory)
    assert "generation_config.json" in apply_to(folder, tmp_path / "edited")
    assert (tmp_path / "edited" / "generation_config.json").read_text() == contradictory


def test_what_transformers_cannot_save_is_one_message(
    stored_as: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stored_as("float32")

    def refuse(*arguments: object, **choices: object) -> None:
        raise RuntimeError("The weights trying to be saved contained shared tensors [{'a', 'b'}]")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", refuse)
    with pytest.raises(UserError, match=r"transformers cannot save this model \(RuntimeError: The weights .* shared"):
        apply_to(folder, tmp_path / "edited")
    assert not (tmp_path / "edited").exists()


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("model/config.json/edited", "config.json is a file, not a folder; choose another place"),
        ("missing/edited", "there is no folder .*; make it first"),
        (f"{'long' * 70}", "nothing can be written there .*; choose another place"),
        ("model", "already exists; choose another name"),
        ("dangling", "already exists; choose another name"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_message(
    out: str, said: str, stored_as: Callable[[str], Path], tmp_path: Path
) -> None:
    stored_as("float32").rename(tmp_path / "model")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=said):
        apply_to(tmp_path / "model", tmp_path / out)


def test_a_merged_adapter_is_edited_and_applied_with_its_files(
    stored_as: Callable[[str], Path], tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    base, adapter = stored_as("float32"), tmp_path / "adapter"
    network = AutoModelForCausalLM.from_pretrained(base)
    wrapped = peft.get_peft_model(network, peft.LoraConfig(r=2, target_modules=["down_proj"], init_lora_weights=False))
    wrapped.save_pretrained(adapter)
    (adapter / "LICENSE").write_text("of the adapter")
    merged = ModelChoice(model=str(adapter), device="cpu", merge_adapter=True)
    families = {family.model_type: family for family in built_in_families()}
    model = load_model(ModelRequest(str(adapter), dtype="float32", device="cpu", merge_adapter=True), families)
    projection = model.mlp_output(1)
    made = {"created": "2026-01-01T00:00:00+00:00", "editor": {"name": "own"}, "seed": 0, "versions": {}}
    manifest = PatchManifest(model=patched_model(model), requests=(), **made)
    write_patch(tmp_path / "p", WeightPatch({projection.name: Dense(torch.ones_like(projection.weight))}), manifest)
    copied = apply_patches(load_registry(), merged, [tmp_path / "p"], tmp_path / "edited", SilentProgress())
    assert "LICENSE" in copied
    written = load_file(tmp_path / "edited" / "model.safetensors")[f"{projection.name}.weight"]
    torch.testing.assert_close(written, projection.weight.as_subclass(torch.Tensor) + 1)
    assert not (tmp_path / "edited" / "adapter_config.json").exists()
