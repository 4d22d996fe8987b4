"""Something moves while a slow edit is made: on a terminal all the time, in a pipe a line now and then."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Wildcore = Callable[..., subprocess.CompletedProcess[str]]
LONGEST_PAUSE = 2.0
STEPS = 1200


@pytest.fixture
def slow_edit(job: list[object], tmp_path: Path) -> list[object]:
    """Return the arguments for one edit that takes some seconds: many steps, which no small loss ends."""
    settings = [f"--set=editor.{setting}" for setting in (f"steps={STEPS}", "loss_threshold=0")]
    return ["eval", *job, *settings, "--limit", 1, "--protocol", "wild", "--out", tmp_path / "run"]


def read_with_pauses(terminal: int) -> tuple[str, float]:
    """Return what a process writes to a terminal, and the longest time between two signs while steps are shown."""
    shown, longest, last = b"", 0.0, None
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            read = b""
        if not read:
            return shown.decode(), longest
        now = time.monotonic()
        if last is not None:
            longest = max(longest, now - last)
        last = now if b"optimisation steps" in read else None
        shown += read


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_on_a_terminal_the_steps_of_a_slow_edit_move(slow_edit: list[object], environment: dict[str, str]) -> None:
    terminal, other_end = os.openpty()
    command = [sys.executable, "-m", "wildcore", *map(str, slow_edit)]
    wide = environment | {"COLUMNS": "150", "TERM": "xterm"}
    with subprocess.Popen(command, env=wide, stdout=subprocess.DEVNULL, stderr=other_end) as process:
        os.close(other_end)
        shown, longest = read_with_pauses(terminal)
    os.close(terminal)
    assert process.returncode == 0, shown
    counts = {int(count) for count in re.findall(rf"optimisation steps.*?(\d+)/{STEPS}", shown)}
    assert len(counts) > 3, "the count of the steps must move"
    assert longest < LONGEST_PAUSE


def test_in_a_pipe_a_slow_edit_says_a_line_now_and_then(slow_edit: list[object], wildcore: Wildcore) -> None:
    begun = time.monotonic()
    done = wildcore(*slow_edit)
    seconds = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    lines = re.findall(rf"ft-m: 0/1, .*optimisation steps: \d+/{STEPS}", done.stderr)
    assert 1 <= len(lines) <= 1 + seconds / 10
    assert "\x1b" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_on_a_terminal_the_result_of_a_real_model_has_80_columns(environment: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    terminal, other_end = os.openpty()
    command = [sys.executable, "-m", "wildcore", "eval", "--editor", "ft-m", "--limit", "2", "--out", str(run)]
    narrow = environment | {"COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(command, env=narrow, stdout=other_end, stderr=subprocess.DEVNULL) as process:
        os.close(other_end)
        shown, _ = read_with_pauses(terminal)
    os.close(terminal)
    assert process.returncode == 0, shown
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in shown.splitlines()]
    assert [line for line in lines if len(line) > 80 and str(run) not in line] == []
    assert any(line.startswith("Reliability is 1.000 under synthetic") for line in lines)
    assert "    gold 'London', before 'Lausanne', after 'London'" in lines
    assert len(lines) < 60
    assert not any(line.startswith("Note: ") for line in lines), "what was said while it worked is not said again"
