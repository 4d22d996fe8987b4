"""Attempts at a run: one worker gets it, dead workers are noticed, and a run that keeps failing is set aside."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from wildcore_study import attempts as module
from wildcore_study.attempts import MOST_FAILED, Attempts, Maker, Outcome

CLAIM = """
import sys
from pathlib import Path
from wildcore_study.attempts import Attempts

with Attempts(Path(sys.argv[1])).claim() as claim:
    print("claimed" if claim else "refused", flush=True)
    sys.stdin.read()
"""


@contextmanager
def claiming(folder: Path, count: int = 1) -> Iterator[list["subprocess.Popen[str]"]]:
    """Start processes that try to claim a run and keep what they got until they are killed or their input ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIM, str(folder)], text=True, **pipes)  # type: ignore[call-overload]
        for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def attempt(attempts: Attempts, outcome: Outcome | None) -> bool:
    """Make an attempt that ends so, and return whether the run could be had. None: the worker dies."""
    with attempts.claim() as claim:
        if claim is None:
            return False
        if outcome is not None:
            claim.record(outcome)
    if outcome is None:
        make_by(attempts, claim.number, Maker(machine=socket.gethostname(), process=os.getpid(), started=1.0))
    return True


def make_by(attempts: Attempts, number: int, maker: Maker) -> Path:
    """Record that another process made an attempt."""
    path = attempts.folder / f"{number}.json"
    path.write_text(maker.model_dump_json())
    return path


def test_one_of_many_threads_gets_the_run(tmp_path: Path) -> None:
    ready, done = threading.Barrier(16), threading.Barrier(16)

    def try_it(_: int) -> bool:
        ready.wait()
        with Attempts(tmp_path / "run").claim() as claim:
            done.wait()
            return claim is not None

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(try_it, range(16))) == [False] * 15 + [True]
    assert len(Attempts(tmp_path / "run").all()) == 1


def test_one_of_several_processes_gets_the_run_and_another_when_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with claiming(folder, 3) as processes:
        got = {process: said(process) for process in processes}
        assert sorted(got.values()) == ["claimed", "refused", "refused"]
        (owner,) = [process for process in processes if got[process] == "claimed"]
        attempts = Attempts(folder)
        assert attempts.is_being_made()
        assert not attempt(attempts, Outcome(ending="finished"))
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert not attempts.is_being_made()
        (dead,) = attempts.all()
        assert dead.has_failed
        assert dead.reason == f"its worker died (process {owner.pid} on {socket.gethostname()})"
        assert attempt(attempts, Outcome(ending="finished"))


def test_a_process_killed_but_not_yet_heeded_by_its_parent_is_dead(tmp_path: Path) -> None:
    with claiming(tmp_path / "run") as (process,):
        assert said(process) == "claimed"
        process.kill()
        end = time.monotonic() + 10
        while Attempts(tmp_path / "run").is_being_made():  # a zombie, until ``communicate``
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_worker_of_another_machine_is_dead_only_after_its_heart_stopped_long_enough(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path / "run", dead_after=30)
    attempts.folder.mkdir()
    path = make_by(attempts, 1, Maker(machine="elsewhere", process=os.getpid(), started=1.0))
    now = path.stat().st_mtime
    os.utime(path, (now - 20, now - 20))
    assert attempts.is_being_made()
    assert not attempt(attempts, Outcome(ending="finished"))
    os.utime(path, (now - 40, now - 40))
    assert not attempts.is_being_made()
    assert attempts.all()[0].reason == f"its worker died (process {os.getpid()} on elsewhere)"
    assert attempt(attempts, Outcome(ending="finished"))


def test_a_claim_is_kept_alive_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    with Attempts(tmp_path).claim() as claim:
        assert claim is not None
        os.utime(claim.path, (0, 0))
        end = time.monotonic() + 10
        while claim.path.stat().st_mtime < 1:
            assert time.monotonic() < end, "the heart does not beat"
            time.sleep(0.01)
    os.utime(claim.path, (0, 0))
    time.sleep(0.1)
    assert claim.path.stat().st_mtime == 0


def test_a_claim_is_lost_once_another_worker_took_the_run(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    with attempts.claim() as claim:
        assert claim is not None
        assert not claim.is_lost()
        make_by(attempts, 2, Maker(machine="elsewhere", process=1, started=1.0))
        assert claim.is_lost()


def test_a_half_written_claim_counts_as_alive_until_it_is_old(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, dead_after=30)
    (tmp_path / "1.json").touch()
    assert attempts.is_being_made()
    os.utime(tmp_path / "1.json", (0, 0))
    assert not attempts.is_being_made()
    assert attempts.all()[0].reason == "its worker died"


def test_three_deaths_set_a_run_aside_until_they_are_forgiven(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for _ in range(MOST_FAILED):
        assert attempts.set_aside_because() is None
        assert attempt(attempts, None)
    assert MOST_FAILED == 3
    died = f"its worker died (process {os.getpid()} on {socket.gethostname()})"
    assert attempts.set_aside_because() == f"3 attempts failed; the last: {died}"
    assert not attempt(attempts, None)
    attempts.forgive()
    assert attempts.set_aside_because() is None
    assert attempts.counted() == []
    assert attempt(attempts, Outcome(ending="failed", reason="ValueError: no"))
    assert attempts.set_aside_because() is None
    assert [one.number for one in attempts.counted()] == [4]


def test_failures_of_any_kind_add_up_and_name_the_last(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for outcome in (None, Outcome(ending="failed", reason="first"), Outcome(ending="failed", reason="second")):
        assert attempt(attempts, outcome)
    assert attempts.set_aside_because() == "3 attempts failed; the last: second"


def test_a_refused_attempt_sets_the_run_aside_at_once(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    assert attempt(attempts, Outcome(ending="refused", reason="no such layer"))
    assert attempts.set_aside_because() == "no such layer"


def test_an_interrupted_attempt_is_not_counted(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for _ in range(MOST_FAILED + 1):
        assert attempt(attempts, Outcome(ending="interrupted"))
    assert attempts.set_aside_because() is None
    assert not attempts.is_being_made()


def test_an_attempt_left_by_ctrl_c_is_interrupted(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    with pytest.raises(KeyboardInterrupt), attempts.claim():
        raise KeyboardInterrupt
    assert [one.outcome for one in attempts.all()] == [Outcome(ending="interrupted")]


def test_the_attempt_of_a_worker_that_was_ended_is_interrupted_but_no_living_or_earlier_one(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    assert attempt(attempts, None)
    attempts.record_interruption(1)
    assert attempts.all()[0].has_failed
    attempts.record_interruption(0)
    assert [one.outcome for one in attempts.all()] == [Outcome(ending="interrupted")]
    with attempts.claim():
        attempts.record_interruption(1)
        assert [one.outcome for one in attempts.all()][1] is None


def test_an_attempt_without_an_outcome_by_a_living_worker_is_neither_failed_nor_free(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    with attempts.claim() as claim:
        assert claim is not None
        (one,) = attempts.all()
        assert (one.is_alive, one.has_failed, one.outcome) == (True, False, None)
        claim.record(Outcome(ending="finished", seconds=1.5, cases=3))
        assert json.loads((tmp_path / "1.outcome").read_text())["cases"] == 3
