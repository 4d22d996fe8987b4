"""How many edits are made and evaluated at once changes nothing in the records."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wildcore.testing
from wildcore.records.schema import flatten

MODELS = Path(wildcore.testing.__file__).parent / "data"
Wildcore = Callable[..., subprocess.CompletedProcess[str]]


def records(run: Path) -> list[dict[str, Any]]:
    """Return the journal's lines as flat mappings, without the times."""
    lines = [flatten(json.loads(line)) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("edit.seconds", "checksum")} for line in lines]


def require_same(one: Path, other: Path) -> None:
    """Words and tokens are the same; measured numbers may differ in the last digits."""
    for first, second in zip(records(one), records(other), strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            wanted = pytest.approx(second[key], rel=1e-3, abs=1e-5) if isinstance(value, float) else second[key]
            assert value == wanted, key


@pytest.fixture
def edits_and_a_refusal(edits: Path) -> Path:
    """Fourteen edits, of which one names a subject that its prompt does not hold."""
    rows = json.loads(edits.read_text())[:14]
    rows[4]["subject"] = "somebody else"
    edits.write_text(json.dumps(rows))
    return edits


@pytest.mark.parametrize(("editor", "model"), [("rome", "tiny-gpt2"), ("ft-m", "tiny-llama")])
def test_the_records_are_the_same_however_many_are_handled_at_once(
    editor: str, model: str, edits_and_a_refusal: Path, wildcore: Wildcore, tmp_path: Path
) -> None:
    job = [
        "eval",
        "--model",
        MODELS / model,
        "--dataset",
        "counterfact",
        "--set",
        f"dataset.path={edits_and_a_refusal}",
    ]
    quick = ["--editor", editor, "--set", "editor.steps=6", "--quiet"]
    for together, batch in ((1, 32), (5, 32), (14, 3)):
        run = tmp_path / f"{together}"
        options = ["--parallel", together, "--batch-size", batch, "--out", run]
        done = wildcore(*job, *quick, *options)
        assert done.returncode == 0, done.stderr
    require_same(tmp_path / "5", tmp_path / "1")
    require_same(tmp_path / "14", tmp_path / "1")
    lines = records(tmp_path / "5")
    refused = [line["case"] for line in lines if line["edit.status"] == "refused"]
    assert refused == (["4"] if editor == "rome" else [])
    changed = [line for line in lines if line.get("probes.0.after.0.text") != line["probes.0.before.0.text"]]
    assert changed, "edits must change something"


def test_a_run_may_be_taken_up_with_another_number_at_once(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert wildcore("eval", *job, "--limit", 9, "--out", whole, "--quiet", "--parallel", 1).returncode == 0
    assert wildcore("eval", *job, "--limit", 9, "--out", cut, "--quiet", "--parallel", 4).returncode == 0
    journal = cut / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
    (cut / "scores.jsonl").unlink()
    done = wildcore("eval", "--resume", cut, "--parallel", 5, "--quiet")
    assert done.returncode == 0, done.stderr
    require_same(cut, whole)
    assert (cut / "scores.jsonl").read_text() == (whole / "scores.jsonl").read_text()


@pytest.mark.parametrize("given", ["0", "many", "-3"])
def test_another_number_is_refused(given: str, wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    done = wildcore("eval", *job, "--out", tmp_path / "run", "--parallel", given)
    assert done.returncode == 2
    assert f"{given!r} is neither auto nor a number from 1" in done.stderr
