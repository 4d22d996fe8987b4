"""How progress is told where there is no terminal."""

import re

import pytest

from wildcore.cli import screen
from wildcore.cli.screen import Reporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that stands still but for what a test adds to it."""
    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    return now


def test_steps_made_before_count_as_done_but_not_into_the_rate(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Reporter(quiet=False).track("training", 1000, 900) as advance:
        clock[0] += 20
        advance(40)
        clock[0] += 30
        advance(60)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training: 940/1000, 2.00/s, 30 s left", "training: 1000/1000, 2.00/s"]


def test_lines_come_only_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=False).track("asking", 30) as advance:
        for _ in range(25):
            clock[0] += 1
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r"\d+/30", line).group() for line in lines] == ["10/30", "20/30"]


def test_quiet_shows_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=True).track("asking", 2) as advance:
        clock[0] += 100
        advance(2)
    assert capsys.readouterr().err == ""
