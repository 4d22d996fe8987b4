"""Commands killed at a file operation, and files with a flipped bit: a sample of what two benchmarks do in full."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
kills: Any = import_module("kills")
bit_flips: Any = import_module("bit_flips")

SHARES = {"eval": 0.7, "sequence": 0.5, "score": 0.6, "prepare": 0.8, "edit": 0.6}
"""How far through its file operations each command is killed."""


@pytest.mark.parametrize("command", kills.killables(), ids=lambda command: command.name)
def test_a_command_killed_at_a_file_operation_makes_the_same_when_given_again(command: Any, tmp_path: Path) -> None:
    found = kills.Kills(command, tmp_path)
    assert found.operations >= 8
    assert found.kill_and_resume(round(SHARES[command.name] * found.operations)) is None


def test_a_flipped_bit_is_said_and_changes_no_answer(tmp_path: Path) -> None:
    flips = bit_flips.Flips(tmp_path)
    files = {str(path): path for path in flips.files()}
    assert {"single/journal.jsonl", "sequence/sequence.safetensors"} <= files.keys()
    assert {path.split("/")[1] for path in files if path.startswith("cache/")} == {"prepared", "unedited-answers"}
    answers = next(path for name, path in files.items() if name.endswith(".sqlite"))
    content = (flips.whole / answers).read_bytes()
    assert flips.outcome(bit_flips.Flip(answers, 8 * content.index(b'"text"') + 3)) == "said"
    assert flips.outcome(bit_flips.Flip(files["sequence/scores.jsonl"], 801)) == "said"
    assert {str(cut.path) for cut in flips.cuts()} == {name for name in files if name.endswith(".jsonl")}
    cut = next(cut for cut in flips.cuts() if str(cut.path) == "single/scores.jsonl" and cut.kept)
    assert flips.outcome(cut) == "said"
