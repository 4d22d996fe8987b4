"""Records say which hyper-network was taken, and a run goes on with that one only."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import wildcore.testing
from wildcore import Saved
from wildcore.cli import main
from wildcore.patches.files import read_patch
from wildcore.storage import Artifact, content_digest, read_manifest
from wildcore.storage.artifacts import read_sound

MODEL = ("--model", str(Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"))
TRAINING = {"steps": 10, "rank": 6, "accumulate": 5, "validate_every": 5, "learning_rate": 1e-3, "edit_rate": -1e-3}
SETTINGS = tuple(f"--set=editor.{name}={value}" for name, value in TRAINING.items())
JOB = (
    "--editor",
    "mend",
    "--dataset",
    "pocketqa",
    "--where",
    "kind=outdated",
    "--limit",
    "4",
    "--protocol",
    "synthetic",
)
FINISHED = 2
"""Cases that a run has done when it is interrupted."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def said(result: Result) -> str:
    return " ".join(result.stderr.split())


def train(cases: int) -> Path:
    """Train on ``cases`` cases and return the file of the network."""
    done = run("prepare", "mend", *MODEL, "--dataset", "pocketqa", "--where", "kind=wrong", "--limit", cases, *SETTINGS)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.strip().split(": ")[-1])


def pinned(path: Path) -> dict[str, Any]:
    """Return the description of a network that manifests must contain."""
    facts = read_manifest(path).facts
    return {"cases": facts["cases"], "seed": 0, "sha256": content_digest(Saved(read_sound(path)[1], {}))}


def alter(path: Path) -> None:
    """Put a network with other bits in the place of one."""
    manifest, tensors = read_sound(path)
    Artifact(path, manifest).save(Saved({**tensors, "rates": tensors["rates"] + 1e-4}, manifest.content))


def records(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    for line in lines:
        line["edit"].pop("seconds")
        line.pop("checksum")
    return lines


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a cache that holds a network, a finished run with it, and that run as an interruption leaves it."""
    pytest.importorskip("wildcore_pocket", reason="wildcore-pocket is not installed")
    pytest.importorskip("wildcore_synthetic", reason="wildcore-synthetic is not installed")
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WILDCORE_CACHE", str(folder / "cache"))
        train(20)
        done = run("eval", *JOB, *MODEL, *SETTINGS, "--out", folder / "whole")
        assert done.exit_code == 0, done.stderr
    begun = folder / "begun"
    begun.mkdir()
    shutil.copy(folder / "whole" / "manifest.json", begun)
    lines = (folder / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (begun / "journal.jsonl").write_bytes(b"".join(lines[:FINISHED]))
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that folder, whose cache is the one in use."""
    place = shutil.copytree(made, tmp_path / "place")
    monkeypatch.setenv("WILDCORE_CACHE", str(place / "cache"))
    return Path(place)


def first_network(place: Path) -> Path:
    (path,) = place.glob("cache/prepared/mend/*.safetensors")
    return path


def test_the_record_of_a_run_and_a_patch_file_say_which_network_it_was(place: Path) -> None:
    network = first_network(place)
    manifest = json.loads((place / "whole" / "manifest.json").read_text())
    assert manifest["identity"]["editor"]["taken"] == {"network": pinned(network)}
    assert any("mend uses the hyper-network made on" in note for note in manifest["notes"])
    edits, patch = place / "edits.jsonl", place / "facts.safetensors"
    edits.write_text(json.dumps({"prompt": "The capital of France is", "target": "Rome"}))
    done = run("edit", "--editor", "mend", *MODEL, *SETTINGS, "--edits", edits, "--out", patch)
    assert done.exit_code == 0, done.stderr
    assert read_patch(patch).manifest.editor["taken"] == {"network": pinned(network)}


def test_a_resumed_run_takes_the_network_that_it_was_begun_with(place: Path) -> None:
    first = first_network(place)
    second = train(30)
    assert pinned(second) != pinned(first)
    other = run("eval", *JOB, *MODEL, *SETTINGS, "--out", place / "other")
    assert other.exit_code == 0, other.stderr
    assert json.loads((place / "other" / "manifest.json").read_text())["identity"]["editor"]["taken"] == {
        "network": pinned(second)
    }
    resumed = run("eval", "--resume", place / "begun")
    assert resumed.exit_code == 0, resumed.stderr
    assert records(place / "begun") == records(place / "whole")
    assert [line["edit"] for line in records(place / "other")] != [line["edit"] for line in records(place / "whole")]


def test_without_that_network_it_stops_and_says_how_to_have_it_again(place: Path) -> None:
    first = first_network(place)
    recorded = pinned(first)
    assert run("cache", "prune", "--kind", "mend", "--yes").exit_code == 0
    train(30)
    before = (place / "begun" / "journal.jsonl").read_bytes()
    refused = run("eval", "--resume", place / "begun")
    assert refused.exit_code == 2
    gone = "the hyper-network that the run was begun with is gone; it was trained on the cases"
    assert f"{first}: {gone} {recorded['cases']} with seed 0; train it on these again" in said(refused)
    assert "wildcore prepare mend --model" in said(refused)
    assert (place / "begun" / "journal.jsonl").read_bytes() == before
    train(20)
    assert pinned(first) == recorded, "the same training gives the same bits"
    resumed = run("eval", "--resume", place / "begun")
    assert resumed.exit_code == 0, resumed.stderr
    assert records(place / "begun") == records(place / "whole")


def test_a_network_with_other_bits_in_its_place_is_refused(place: Path) -> None:
    alter(first_network(place))
    refused = run("eval", "--resume", place / "begun")
    assert refused.exit_code == 2
    assert "trained again since the run was begun, to other bits (sha256 " in said(refused)


def test_a_finished_run_needs_no_network(place: Path) -> None:
    first_network(place).unlink()
    again = run("eval", "--resume", place / "whole")
    assert again.exit_code == 0, again.stderr


def test_another_parameter_is_named_before_the_network_is_looked_for(place: Path) -> None:
    refused = run("eval", "--resume", place / "begun", "--set", "editor.steps=20")
    assert refused.exit_code == 2
    assert "editor.params.steps was 10 and is now 20" in said(refused)
