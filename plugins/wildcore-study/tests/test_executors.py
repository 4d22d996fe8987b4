"""Studies carried out by each executor, with real processes that are interrupted and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from wildcore_study import local
from wildcore_study.execution import work_through
from wildcore_study.folder import StudyFolder
from wildcore_study.local import FRUITLESS_PROCESSES, LocalExecutor, as_its_own
from wildcore_study.queue import StudyQueue

from wildcore import UserError
from wildcore.testing.conformance import quiet_environment

Queued = Callable[..., StudyQueue]
WriteFile = Callable[..., Path]
Answers = Callable[[StudyFolder], dict[str, list[dict[str, Any]]]]
Start = Callable[..., "subprocess.Popen[str]"]

KEYS = {"limit": 12, "seeds": "[0, 1, 2]"}


def heed_interrupts() -> None:
    """Undo what a shell does to jobs in the background, where these tests may run: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts ``wildcore study run`` in the background; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(file: Path, out: Path) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "wildcore",
            "study",
            "run",
            str(file),
            "--out",
            str(out),
            "--devices",
            "cpu,cpu",
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, text=True, preexec_fn=heed_interrupts, **pipes))  # type: ignore[call-overload]
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], object], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def workers(queue: StudyQueue) -> list[int]:
    """Return the processes that make runs now."""
    last = [queue.study.attempts(run).all()[-1:] for run in queue.plan.runs]
    return [one.maker.process for found in last for one in found if one.maker and one.is_alive and not one.outcome]


def is_amid(queue: StudyQueue) -> bool:
    """Return whether two processes make runs, of which one has finished a case."""
    begun = any(journal.stat().st_size for journal in queue.study.working.glob("*/journal.jsonl"))
    return begun and len(workers(queue)) == 2


def endings(queue: StudyQueue) -> list[list[str]]:
    """Return for each run how its attempts ended."""
    found = [queue.study.attempts(run).all() for run in queue.plan.runs]
    return [[one.outcome.ending if one.outcome else "none" for one in of_run] for of_run in found]


@pytest.fixture
def uninterrupted(queued: Queued, answers: Answers) -> dict[str, list[dict[str, Any]]]:
    queue = queued("uninterrupted", **KEYS)
    assert not work_through(queue.folder, queue.plan_name, "cpu")
    return answers(queue.study)


def test_ctrl_c_ends_the_workers_and_a_killed_driver_does_not(
    queued: Queued, study_file: WriteFile, start: Start, answers: Answers, uninterrupted: dict[str, Any]
) -> None:
    queue, file = queued(**KEYS), study_file(**KEYS)
    driver = start(file, queue.folder)
    wait_until(lambda: is_amid(queue), "no two workers have begun")
    interrupted = workers(queue)
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=90)
    assert driver.returncode == 130
    assert not any(map(psutil.pid_exists, interrupted))
    assert [ending for of_run in endings(queue) for ending in of_run].count("interrupted") >= 1
    assert not any("none" in of_run or "failed" in of_run for of_run in endings(queue))
    assert len(queue.waiting()) >= 1

    driver = start(file, queue.folder)
    wait_until(lambda: len(workers(queue)) >= 1, "no worker has begun")
    left = workers(queue)
    driver.kill()
    driver.communicate()
    assert all(map(psutil.pid_exists, left)), "workers go on without their driver"
    attempts = endings(queue)
    assert not work_through(queue.folder, queue.plan_name, "cpu")  # a second driver, at the same time
    wait_until(lambda: not any(map(psutil.pid_exists, left)), "the workers of the killed driver do not end")
    assert answers(queue.study) == uninterrupted
    assert [of_run.count("finished") for of_run in endings(queue)] == [1, 1, 1]
    assert not any("failed" in of_run or "none" in of_run for of_run in endings(queue))
    assert all(len(after) - len(before) <= 1 for before, after in zip(attempts, endings(queue), strict=True))
    assert not (queue.folder / "discarded").exists()


def progress() -> Any:
    return quiet_environment(Path()).progress


class Broken(StudyQueue):
    """A queue whose workers end at once."""

    def worker_command(self, device: str) -> list[str]:
        return [sys.executable, "-c", "print('no such device', flush=True); raise SystemExit(3)"]


def test_workers_that_never_make_a_run_are_an_error_with_what_they_said(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "POLL_SECONDS", 0.05)
    queue = queued()
    broken = Broken(queue.folder, queue.plan_name)
    with pytest.raises(UserError, match="no worker can be started; the last one said: no such device"):
        LocalExecutor().execute(broken, ["cpu"], progress())


class Dying(StudyQueue):
    """A queue whose workers claim the first run and kill themselves."""

    def worker_command(self, device: str) -> list[str]:
        program = (
            "import os, signal; from pathlib import Path; from wildcore_study.attempts import Attempts\n"
            f"folder = next(Path({str(self.folder)!r}, 'attempts').iterdir())\n"
            "with Attempts(folder).claim() as claim:\n"
            "    print(f'claimed {claim.number}', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
        )
        return [sys.executable, "-c", program]


def test_a_run_that_kills_its_worker_three_times_is_set_aside(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "POLL_SECONDS", 0.05)
    queue = queued()
    dying = Dying(queue.folder, queue.plan_name)
    (run,) = queue.plan.runs
    attempts = queue.study.attempts(run)
    attempts.folder.mkdir(parents=True)
    heard = progress()
    LocalExecutor().execute(dying, ["cpu"], heard)
    assert FRUITLESS_PROCESSES > 3
    assert [one.has_failed for one in attempts.all()] == [True] * 3
    assert [str(note) for note in heard.notes] == ["the worker on cpu was ended by signal 9"] * 3
    reason = attempts.set_aside_because()
    assert reason is not None
    assert reason.startswith("3 attempts failed; the last: its worker died (process ")


def test_submitit_makes_the_runs_of_a_study(queued: Queued, answers: Answers) -> None:
    executor = pytest.importorskip("wildcore_slurm.executor")
    parameters = pytest.importorskip("wildcore_slurm.parameters")
    queue = queued(seeds="[0, 1]")
    params = parameters.SubmititParams(cluster="local", poll_seconds=0.2)
    executor.SubmititExecutor(params).execute(queue, ["cpu"], progress())
    assert endings(queue) == [["finished"], ["finished"]]
    assert len(answers(queue.study)) == 2


def test_ray_makes_the_runs_of_a_study(queued: Queued, answers: Answers) -> None:
    ray = pytest.importorskip("ray")
    executor = pytest.importorskip("wildcore_ray.executor")
    parameters = pytest.importorskip("wildcore_ray.parameters")
    queue = queued(seeds="[0, 1]")
    try:
        executor.RayExecutor(parameters.RayParams()).execute(queue, ["cpu"], progress())
    finally:
        ray.shutdown()
    assert endings(queue) == [["finished"], ["finished"]]
    assert len(answers(queue.study)) == 2
    makers = {one.maker.process for run in queue.plan.runs for one in queue.study.attempts(run).all() if one.maker}
    assert len(makers) == 1
    assert os.getpid() not in makers


@pytest.mark.parametrize(
    ("device", "seen", "name", "left"),
    [
        ("cpu", None, "cpu", None),
        ("cuda", None, "cuda", None),
        ("cuda:1", None, "cuda:0", "1"),
        ("cuda:1", "GPU-a,GPU-b", "cuda:0", "GPU-b"),
        ("cuda:2", "4,5", "cuda:2", "4,5"),
    ],
)
def test_a_worker_of_this_machine_sees_its_own_gpu_alone(
    device: str, seen: str | None, name: str, left: str | None
) -> None:
    environment = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    assert as_its_own(device, environment) == name
    assert environment.get("CUDA_VISIBLE_DEVICES") == left
