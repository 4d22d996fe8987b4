"""Cells on real Ray clusters: workers, drivers and nodes die, and nothing is lost, nothing is done twice, no answer differs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wildcore_ray.executor import RayExecutor
from wildcore_ray.parameters import RayParams

from wildcore import NO_PROGRESS, UserError
from wildcore.testing.cells import FolderQueue, answers_without_executor, begun_by, facts
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.packages import check_import, check_offers, check_readme

MODELS = ("tiny-llama", "tiny-gpt2")
DRIVER = """
import sys
from pathlib import Path
from wildcore import NO_PROGRESS
from wildcore.testing.cells import FolderQueue
from wildcore_ray.executor import RayExecutor
from wildcore_ray.parameters import RayParams

folder, address = sys.argv[1:]
RayExecutor(RayParams(address=address or None)).execute(FolderQueue(Path(folder), "ft-m", "wild"), ["cpu"] * 2, NO_PROGRESS)
"""


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give all processes of Ray one thread, no network, and caches of their own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        patched.setenv("HF_HUB_OFFLINE", "1")
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("WILDCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Yield a cluster of two nodes of one core each: two raylets on this machine."""
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory})
    made.second = made.add_node(num_cpus=1, **memory)
    yield made
    made.shutdown()


@pytest.fixture
def queue(tmp_path: Path) -> FolderQueue:
    return FolderQueue(tmp_path / "cells", "ft-m", "wild")


@pytest.fixture
def start_driver() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Return a function that starts the executor in a process of its own."""
    running = []

    def start(queue: FolderQueue, address: str = "") -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", DRIVER, str(queue.folder), address]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, text=True, preexec_fn=heed_interrupts, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def heed_interrupts() -> None:
    """Undo what a shell does to jobs in the background, where these tests may run: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def execute(queue: FolderQueue, address: str, **parameters: Any) -> list[str]:
    """Run the cells on two workers of the cluster, and return the notes."""
    progress: Any = quiet_environment(queue.folder).progress
    RayExecutor(RayParams(address=address, **parameters)).execute(queue, ["cpu", "cpu"], progress)
    return [str(note) for note in progress.notes]


def has_ended(pid: int) -> bool:
    """Return whether a process has ended, even if its parent has not heeded that."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def require_ended(pid: int) -> None:
    """Wait until a process has ended."""
    end = time.monotonic() + 20
    while not has_ended(pid):
        assert time.monotonic() < end, f"process {pid} still runs"
        time.sleep(0.05)


def survivor_of(pids: list[int]) -> int:
    """Wait until one of two processes has ended, and return the other."""
    end = time.monotonic() + 20
    while not any(map(has_ended, pids)):
        assert time.monotonic() < end, f"both of {pids} still run"
        time.sleep(0.05)
    [other] = [pid for pid in pids if not has_ended(pid)]
    return other


def test_workers_that_die_in_a_cell_are_replaced_and_damaged_weights_are_loaded_again(
    cluster: Any, queue: FolderQueue, tmp_path: Path
) -> None:
    does = {"a": "dies", "b": "", "c": "always dies", "d": "fails", "e": "damages", "f": "", "g": "", "h": ""}
    facts(queue, does, MODELS)
    notes = execute(queue, cluster.address, max_restarts=1)
    expected = answers_without_executor(queue, tmp_path / "plain")
    del expected["c"]  # set aside by the queue
    assert queue.answers() == expected
    assert sorted(queue.finishes()) == sorted(expected)
    assert {cell: queue.attempts(cell) for cell in does} == {
        "a": 2, "b": 1, "c": 3, "d": 2, "e": 1, "f": 1, "g": 1, "h": 1
    }  # fmt: skip
    assert "a worker on cpu died and is replaced" in notes
    assert len({(queue.folder / f"{cell}.attempt-1").read_text() for cell in does}) > 2


def test_cells_of_a_killed_driver_are_run_by_the_next_and_of_a_removed_node_by_the_others(
    cluster: Any, queue: FolderQueue, tmp_path: Path, start_driver: Callable[..., "subprocess.Popen[str]"]
) -> None:
    facts(queue, {"a": "waits", "b": "", "c": "waits"})
    driver = start_driver(queue, cluster.address)
    begun = [begun_by(queue, cell) for cell in ("a", "c")]
    driver.kill()
    driver.communicate()
    for pid in begun:  # Ray ends the actors of a dead driver
        require_ended(pid)
    assert [cell.id for cell in queue.waiting()] == ["a", "c"]
    facts(FolderQueue(queue.folder, "ft-m", "wild"), {"d": "waits", "e": "waits", "f": ""})
    driver = start_driver(queue, cluster.address)
    begun = [begun_by(queue, cell) for cell in ("d", "e")]
    cluster.remove_node(cluster.second, allow_graceful=False)
    os.kill(survivor_of(begun), signal.SIGKILL)  # its cell waits until it is killed
    assert driver.wait(60) == 0
    assert queue.answers() == answers_without_executor(queue, tmp_path / "plain")
    assert sorted(queue.finishes()) == ["a", "b", "c", "d", "e", "f"]
    assert {cell: queue.attempts(cell) for cell in "abcdef"} == {"a": 2, "b": 1, "c": 2, "d": 2, "e": 2, "f": 1}


def test_an_own_cluster_is_started_and_ctrl_c_ends_it_with_its_workers(
    queue: FolderQueue, start_driver: Callable[..., "subprocess.Popen[str]"]
) -> None:
    facts(queue, {"a": "", "b": "waits"})
    driver = start_driver(queue)
    begun = begun_by(queue, "b")
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    require_ended(begun)
    assert "KeyboardInterrupt" in errors
    assert "a" in queue.answers()
    assert [cell.id for cell in queue.waiting()] == ["b"]


def test_a_worker_that_cannot_be_started_is_an_error_with_its_reason(cluster: Any, queue: FolderQueue) -> None:
    facts(queue, {"a": ""})
    with pytest.raises(UserError, match="no worker can be started: none was ready after 1 s; the cluster has"):
        execute(queue, cluster.address, cpus=99, start_seconds=1)
    queue.add("a", "no-such-model", "Rome is in", "Peru", "Rome")
    with pytest.raises(UserError, match=r"no worker can be started: model .*no-such-model'?: no such folder"):
        execute(queue, cluster.address)


def test_nothing_is_started_for_no_cells(queue: FolderQueue) -> None:
    queue.folder.mkdir()
    RayExecutor(RayParams(address="127.0.0.1:1")).execute(queue, ["cpu"], NO_PROGRESS)


def test_the_package() -> None:
    check_import("wildcore_ray", ["ray", "torch", "transformers"])
    check_import("wildcore_ray.executor", ["ray", "torch", "transformers"])
    check_offers("ray")
    check_readme("ray", Path(__file__).parents[1] / "README.md")
