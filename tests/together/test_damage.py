"""Commands killed at a file operation, and files with a flipped bit: a sample of what two benchmarks do in full."""

from pathlib import Path

import pytest

from wildcore.testing.flipped import Flip, Flips
from wildcore.testing.resuming import Kills, killables

SHARES = {"eval": 0.7, "sequence": 0.5, "score": 0.6, "prepare": 0.8, "edit": 0.6}
"""How far through its file operations each command is killed."""


@pytest.mark.parametrize("command", killables(), ids=lambda command: command.name)
def test_a_command_killed_at_a_file_operation_makes_the_same_when_given_again(command, tmp_path: Path) -> None:
    kills = Kills(command, tmp_path)
    assert kills.operations >= 8
    assert kills.kill_and_resume(round(SHARES[command.name] * kills.operations)) is None


def test_a_flipped_bit_is_said_and_changes_no_answer(tmp_path: Path) -> None:
    flips = Flips(tmp_path)
    files = {str(path): path for path in flips.files()}
    assert {"single/journal.jsonl", "sequence/sequence.safetensors"} <= files.keys()
    assert {path.split("/")[1] for path in files if path.startswith("cache/")} == {"prepared", "unedited-answers"}
    answers = next(path for name, path in files.items() if name.endswith(".sqlite"))
    content = (flips.whole / answers).read_bytes()
    assert flips.outcome(Flip(answers, 8 * content.index(b'"text"') + 3)) == "said"
    assert flips.outcome(Flip(files["sequence/scores.jsonl"], 801)) == "said"
