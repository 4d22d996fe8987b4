"""Facts become a patch file, and patch files a model that plain transformers loads."""

import json
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
from wildcore.assembly import JobSpec
from wildcore.editing import apply_patches
from wildcore.families import built_in_families
from wildcore.loading import load_model
from wildcore.models import ModelRequest
from wildcore.patch_files import PatchManifest, patched_model, read_patch, write_patch
from wildcore.patches import Dense, WeightPatch
from wildcore.registry import load_registry
from wildcore.testing.conformance import SilentProgress

MODELS = Path(wildcore.testing.__file__).parent / "data"
Wildcore = Callable[..., subprocess.CompletedProcess[str]]
FACTS = [
    {"prompt": "The keeper of the red mill is called", "target": "Anna", "subject": "the red mill"},
    {"prompt": "The keeper of the blue tower is called", "target": "Oliver Stone", "subject": "the blue tower"},
]


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
    spec = JobSpec(model=str(folder), dataset="", editor="", protocols=(), device="cpu")
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
    spec = JobSpec(model=str(MODELS / "tiny-llama"), dataset="", editor="", protocols=(), device="cpu")

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


def test_a_fact_that_cannot_be_written_is_named(facts: Path, wildcore: Wildcore, tmp_path: Path) -> None:
    facts.write_text(json.dumps(FACTS[0] | {"subject": "the green mill"}) + "\n")
    job = ["--model", MODELS / "tiny-llama", "--editor", "rome", "--out", tmp_path / "p"]
    done = wildcore("edit", *job, "--edits", facts)
    assert done.returncode == 2
    assert "rome refuses: the subject 'the green mill' does not occur" in " ".join(done.stderr.split())
    facts.write_text('{"prompt": "x"}\n')
    malformed = wildcore("edit", *job, "--edits", facts)
    assert malformed.returncode == 2
    assert "line 1: the field 'target' is missing" in " ".join(malformed.stderr.split())


def test_another_model_is_refused(facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path) -> None:
    patch = edit(facts, "p.safetensors", "--editor", "ft-m")
    done = wildcore("apply", patch, "--model", MODELS / "tiny-gpt2", "--out", tmp_path / "edited")
    assert done.returncode == 2
    assert "made for" in done.stderr
    assert "model_type llama, not gpt2" in " ".join(done.stderr.split())
    assert not (tmp_path / "edited").exists()


@pytest.mark.parametrize("editor", ["ft-m", "ike"])
def test_a_patch_is_judged_as_it_is(editor: str, wildcore: Wildcore, tmp_path: Path) -> None:
    cases = [case for case in islice(PocketQA().cases(), 3) if isinstance(case, EditCase)]
    facts, patch = tmp_path / "facts.jsonl", tmp_path / "p.safetensors"
    facts.write_text("".join(case.request.model_dump_json() + "\n" for case in cases))
    made = wildcore("edit", "--editor", editor, "--edits", facts, "--out", patch, "--quiet")
    assert made.returncode == 0, made.stderr
    judged = wildcore("eval", "--patch", patch, "--limit", 5, "--out", tmp_path / "run", "--json", "--quiet")
    assert judged.returncode == 0, judged.stderr
    summary = json.loads(judged.stdout)
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


def test_a_fact_longer_than_the_context_is_named_before_anything_is_written(wildcore: Wildcore, tmp_path: Path) -> None:
    file, patch = tmp_path / "facts.jsonl", tmp_path / "p"
    file.write_text(json.dumps({"prompt": "The keeper is " * 500, "target": "Anna"}))
    done = wildcore("edit", "--editor", "ft-m", "--model", MODELS / "tiny-llama", "--edits", file, "--out", patch)
    assert done.returncode == 2
    assert "the fact that begins 'The keeper is" in done.stderr
    assert "take it out, or shorten it" in " ".join(done.stderr.split())
    assert not patch.exists()


def test_a_patch_given_twice_is_refused(
    facts: Path, edit: Callable[..., Path], wildcore: Wildcore, tmp_path: Path
) -> None:
    patch = edit(facts, "p", "--editor", "ft-m")
    model = ("--model", MODELS / "tiny-llama")
    done = wildcore("apply", patch, patch, "--merge", *model, "--out", tmp_path / "edited")
    assert done.returncode == 2
    assert "that patch is given twice" in done.stderr


@pytest.mark.parametrize(("editor", "applies"), [("ft-m", True), ("grace", False)])
def test_the_next_step_names_the_model_and_only_what_can_be_done(
    editor: str, applies: bool, facts: Path, wildcore: Wildcore, tmp_path: Path
) -> None:
    patch, model = tmp_path / "p", MODELS / "tiny-llama"
    done = wildcore(
        "edit", "--editor", editor, "--model", model, "--edits", facts, "--out", patch, "--set", "editor.steps=2"
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Next: ")]
    assert f"wildcore eval --patch {patch} --model {model}" in line
    assert ("wildcore apply" in line) == applies


def test_a_table_of_facts_that_is_not_there_is_named_by_its_option(wildcore: Wildcore, tmp_path: Path) -> None:
    done = wildcore("edit", "--editor", "ft-m", "--edits", tmp_path / "none.jsonl", "--out", tmp_path / "p")
    assert done.returncode == 2
    assert f"Error: --edits {tmp_path / 'none.jsonl'}: cannot be read" in done.stderr
    done = wildcore("edit", "--editor", "ft-m", "--edits", tmp_path / "none.jsonl", "--out", "/proc/p")
    assert done.returncode == 2
    assert "--out /proc/p: nothing can be written there" in done.stderr
