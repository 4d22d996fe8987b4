"""How progress is told where there is no terminal."""

import re
from io import StringIO

import pytest
from rich.console import Console

from wildcore import screen
from wildcore.screen import Reporter


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


def test_of_an_unknown_number_of_steps_only_the_count_and_the_rate_are_told(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Reporter(quiet=False).track("asking", None) as advance:
        for _ in range(21):
            clock[0] += 1
            advance(2)
    assert capsys.readouterr().err.splitlines() == ["asking: 20, 2.00/s", "asking: 40, 2.00/s"]


@pytest.mark.parametrize(("total", "said"), [(None, " 2 "), (5, "2/5")])
def test_a_bar_counts_with_and_without_a_total(total: int | None, said: str) -> None:
    reporter = Reporter(quiet=False)
    reporter.console = Console(file=StringIO(), force_terminal=True, width=120, color_system=None)
    with reporter.track("asking", total, 2):
        pass
    lines = reporter.console.file.getvalue()
    assert said in lines
    assert ("/" in lines.replace("/s", "")) == (total is not None)


def test_no_step_made_in_a_while_leaves_no_time_to_tell(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=False).track("asking", 30) as advance:
        clock[0] += 20
        advance(0)
    assert capsys.readouterr().err.splitlines() == ["asking: 0/30, 0.00/s"]


def test_quiet_shows_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=True).track("asking", 2) as advance:
        clock[0] += 100
        advance(2)
    assert capsys.readouterr().err == ""
