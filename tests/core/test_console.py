"""How progress is told, on a terminal and elsewhere."""

import re
import threading
import time
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wildcore.reporting import console
from wildcore.reporting.console import Pace, Reporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that stands still but for what a test adds to it; nothing looks at it by itself."""
    now = [100.0]
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LOOKS", 1000)
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_steps_made_before_count_as_done_but_not_into_the_rate(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Reporter(quiet=False)
    with reporter.track("training", 1000, 900) as advance:
        clock[0] += 20
        advance(40)
        clock[0] += 10
        reporter.say_if_due()
        clock[0] += 20
        advance(60)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training: 940/1000, 2.00/s, 20 s left", "training: 1000/1000, 2.00/s"]


def test_lines_come_only_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet=False)
    with reporter.track("asking", 30) as advance:
        for _ in range(25):
            clock[0] += 1
            advance(1)
            reporter.say_if_due()
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r"\d+/30", line).group() for line in lines] == ["2/30", "12/30", "22/30"]


def test_of_an_unknown_number_of_steps_only_the_count_and_the_rate_are_told(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Reporter(quiet=False)
    with reporter.track("asking", None) as advance:
        for _ in range(21):
            clock[0] += 1
            advance(2)
            clock[0] += 1
            reporter.say_if_due()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "asking: 2, 2.00/s"
    assert lines[1] == "asking: 12, 1.09/s"


def test_what_makes_no_steps_tells_how_long_it_takes(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet=False)
    with reporter.track("preparing", None), reporter.track("second moments", None):
        for _ in range(15):
            clock[0] += 1
            reporter.say_if_due()
    assert capsys.readouterr().err.splitlines() == ["second moments: 2 s", "second moments: 12 s"]


def test_steps_inside_an_edit_are_told_with_the_edits_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """100 edits of 0.5 s each, then one of 25 s."""
    reporter = Reporter(quiet=False)
    with reporter.track("rome", 101) as advance:
        for seconds in [0.02] * 100 + [1.0]:
            with reporter.track("optimisation steps", 25) as step:
                for _ in range(25):
                    clock[0] += seconds
                    step(1)
                    reporter.say_if_due()
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= (50 + 25) / 10 + 3
    assert lines[0].startswith("rome: 4/101, ")
    assert re.search(r"^rome: 100/101, .* \(optimisation steps: \d+/25, .*\)$", lines[-3])
    assert re.search(r"^rome: 100/101, .* \(optimisation steps: 25/25, .*\)$", lines[-2])
    assert lines[-1].startswith("rome: 101/101")


def test_a_task_inside_another_has_a_bar_only_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SECONDS_TO_AN_INNER_BAR", 0.3)
    reporter = Reporter(quiet=False)
    reporter.console = Console(file=StringIO(), force_terminal=True, width=120, color_system=None)
    with reporter.track("rome", 40):
        for _ in range(3):
            with reporter.track("optimisation steps", 25) as step:
                step(1)
        assert "optimisation steps" not in reporter.console.file.getvalue()
        with reporter.track("optimisation steps", 25) as step:
            step(12)
            time.sleep(0.7)
    assert "12/25" in reporter.console.file.getvalue()


def test_steps_that_come_in_bunches_count_with_the_time_that_the_bunch_took(clock: list[float]) -> None:
    pace = Pace("rome", 40, 8)
    clock[0] += 16
    for _ in range(8):
        pace.advance(1)
        assert str(pace) == f"rome: {8 + pace.made}/40, 16 s", "the bunch is not complete, so no rate is known"
    clock[0] += 4
    assert str(pace) == "rome: 16/40, 0.50/s, 44 s left"  # 24 left at 2 s each, 4 s of which are over
    clock[0] += 12
    pace.advance(1)
    assert str(pace) == "rome: 17/40, 0.50/s, 32 s left", "one step of a bunch is not all that its time has brought"
    clock[0] += 0.1
    for _ in range(7):
        pace.advance(1)
    clock[0] += 1.9
    assert str(pace) == "rome: 24/40, 0.50/s, 30 s left"


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(3, 50)), min_size=1, max_size=8),
    st.integers(0, 50),
    st.integers(1, 50),
)
def test_the_time_left_is_that_of_the_steps_left_at_the_rate_so_far(
    groups: list[tuple[int, float]], done: int, more: int
) -> None:
    """After each group of ``size`` steps that came at once after ``seconds``, the next one is awaited for 2 s."""
    now = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console.time, "monotonic", lambda: now)
        made = sum(size for size, _ in groups)
        pace = Pace("rome", done + made + more, done)
        for size, seconds in groups:
            now += seconds
            for _ in range(size):
                pace.advance(1)
        ended = now
        now += 2
        assert pace.rate == pytest.approx(made / ended)
        assert pace.count == f"{done + made}/{done + made + more}"
        expected = more * ended / made - 2
        assert pace.seconds_left == (pytest.approx(expected) if expected > 0 else None)


def test_on_a_terminal_something_moves_while_no_step_is_made() -> None:
    reporter = Reporter(quiet=False)
    reporter.console = Console(file=StringIO(), force_terminal=True, width=120, color_system=None)
    with reporter.track("loading libraries", None):
        time.sleep(0.35)
        early = reporter.console.file.getvalue()
        time.sleep(0.35)
        assert len(reporter.console.file.getvalue()) > len(early)
    assert "loading libraries" in early


def test_without_a_terminal_a_line_comes_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "SECONDS_TO_THE_FIRST_LINE", 0.1)
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LOOKS", 0.05)
    with Reporter(quiet=False).track("loading libraries", None):
        deadline = time.monotonic() + 10
        said = ""
        while not said and time.monotonic() < deadline:
            time.sleep(0.05)
            said = capsys.readouterr().err
    assert said == "loading libraries: 0 s\n"
    assert "progress" not in [thread.name for thread in threading.enumerate()], "the thread ends with the task"


@pytest.mark.parametrize(("total", "said"), [(None, " 2 "), (5, "2/5")])
def test_a_bar_counts_with_and_without_a_total(total: int | None, said: str) -> None:
    reporter = Reporter(quiet=False)
    reporter.console = Console(file=StringIO(), force_terminal=True, width=120, color_system=None)
    with reporter.track("asking", total, 2):
        pass
    lines = reporter.console.file.getvalue()
    assert said in lines
    assert ("/" in lines.replace("/s", "")) == (total is not None)


def test_quiet_shows_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=True).track("asking", 2) as advance:
        clock[0] += 100
        advance(2)
    assert capsys.readouterr().err == ""
