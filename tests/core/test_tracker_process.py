"""A tracker in a process of its own: whatever it does, the run does not wait for it, and knows what is lost."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wildcore import UserError
from wildcore.tracking.process import IN_ADDRESS, SECONDS, Chosen, TrackerProcess, seconds_allowed, without_secrets

START = {"call": "start", "run": {"id": "ab", "name": "run", "folder": "runs/run", "manifest": {"seed": 0}}}
POINT = {"call": "point", "point": {"edits": 3, "numbers": {"wild/reliability/exact-match/after": 0.5}, "collapse": []}}
FINISH = {"call": "finish", "end": {"status": "finished", "numbers": {}}}
Open = Callable[[str], TrackerProcess]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "told.jsonl"


@pytest.fixture
def started(installed: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A function that starts one of the sample trackers."""
    monkeypatch.setenv("PYTHONPATH", str(installed("sample-trackers")))
    processes: list[TrackerProcess] = []

    def start(name: str) -> TrackerProcess:
        processes.append(TrackerProcess(Chosen(name, "trackers", {"file": str(file)})))
        processes[-1].start()
        return processes[-1]

    yield start
    for process in processes:
        process.end_requests()
        process.wait(time.monotonic())


@pytest.fixture
def opened(started: Open) -> Open:
    """The same, and waits until it is made; from then on it has half a second for each call."""

    def start(name: str) -> TrackerProcess:
        process = started(name)
        process.require_ready()
        process.seconds = 0.5
        return process

    return start


def told(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def shown(process: TrackerProcess, *requests: Any, seconds: float = 30) -> float:
    """Send requests, and wait for the tracker; returns how long the calls of ``send`` took."""
    start = time.monotonic()
    for request in requests:
        process.send(request)
    sent = time.monotonic() - start
    process.end_requests()
    process.wait(time.monotonic() + seconds)
    return sent


def test_it_is_told_everything_in_order(opened: Open, file: Path) -> None:
    process = opened("keeps")
    shown(process, START, POINT, FINISH)
    assert (process.problem, process.sent, process.done) == (None, 3, 3)
    start, point, finish = told(file)
    assert start["start"] == START["run"]
    assert point["point"] == POINT["point"]
    assert finish["finish"] == {"status": "finished", "numbers": {}, "cases": []}
    assert process.places == [f"{file}\\x1b[31m of http://***@host"], "a place is shown without control characters"


TOO_SLOW = "a call takes longer than 0.5 s; $WILDCORE_TRACKER_SECONDS allows more"
FAILING = {
    "raises": ("ConnectionError: refused for the key ***", 0),
    "raises-once": ("TimeoutError: the network is down", 3),
    "raises-at-once": ("RuntimeError: no space left on device", 0),
    "hangs": (TOO_SLOW, 1),
    "holds-the-lock": (TOO_SLOW, 1),
    "leaves": ("its process ended", 1),
    "lies": (None, 4),
}
"""What goes wrong, and how many of four requests are carried out all the same."""


def test_a_failure_is_noted_and_counted_and_nothing_waits(started: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_API_KEY", "sk-hidden-value")
    processes = [started(name) for name in FAILING]
    for process in processes:
        process.require_ready()
        process.seconds = 0.5
    start = time.monotonic()
    for request in (START, POINT, POINT, FINISH):
        for process in processes:
            process.send(request)
    assert time.monotonic() - start < 0.2, "the run waits for a tracker"
    for process in processes:
        process.end_requests()
    for process in processes:
        process.wait(start + 20)
    assert time.monotonic() - start < 10
    assert {process.chosen.name: (process.problem, process.done) for process in processes} == FAILING
    assert all(process.sent == 4 for process in processes)
    assert not next(one for one in processes if one.chosen.name == "lies").places


def test_a_tracker_that_cannot_be_made_in_time_is_given_up(started: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDCORE_TRACKER_SECONDS", "0.7")
    process = started("hangs-at-once")
    process.require_ready()
    shown(process, START)
    assert process.problem == "a call takes longer than 0.7 s; $WILDCORE_TRACKER_SECONDS allows more"


def test_waiting_ends_at_the_deadline_although_calls_may_take_longer(opened: Open) -> None:
    process = opened("hangs")
    process.seconds = 60
    start = time.monotonic()
    shown(process, START, POINT, FINISH, seconds=0.5)
    assert time.monotonic() - start < 8
    assert process.problem
    assert (process.sent, process.done) == (3, 1)


def test_what_only_the_user_can_change_is_an_error(started: Open) -> None:
    with pytest.raises(
        UserError, match=r"^tracker asks: the package sample cannot .*; install it: pip install sample$"
    ):
        started("asks").require_ready()


def test_a_run_that_is_killed_is_interrupted_for_its_tracker(opened: Open, file: Path) -> None:
    process = opened("keeps")
    shown(process, START, POINT)  # the requests end, without the end of the run
    assert [next(iter(one)) for one in told(file)] == ["start", "point", "finish"]
    assert told(file)[-1]["finish"]["status"] == "interrupted"


def test_a_process_sees_several_runs_with_a_new_tracker_for_each(opened: Open, file: Path) -> None:
    process = opened("raises-once")
    shown(process, START, POINT, POINT, FINISH, START, POINT, POINT, FINISH)
    assert (process.sent, process.done) == (8, 6), "each of two new trackers fails once"
    assert len({one["pid"] for one in told(file)}) == 1


def test_secrets_of_the_environment_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "longer-secret")
    monkeypatch.setenv("SERVICE_KEY", "longer")
    monkeypatch.setenv("ANOTHER_KEY", "1")
    assert without_secrets("got longer-secret, longer and 1") == "got ***, *** and 1"
    assert without_secrets("https://user:password@host/a@b //x@y") == "https://***@host/a@b //***@y"
    assert not IN_ADDRESS.search("mail me@host, http://host/me@host")


@pytest.mark.parametrize(("chosen", "seconds"), [("3.5", 3.5), ("", SECONDS), ("-1", SECONDS), ("never", SECONDS)])
def test_how_long_a_call_may_take_is_a_variable(monkeypatch: pytest.MonkeyPatch, chosen: str, seconds: float) -> None:
    monkeypatch.setenv("WILDCORE_TRACKER_SECONDS", chosen)
    assert seconds_allowed() == seconds
