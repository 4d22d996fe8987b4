"""The command line as a user runs it: a process of its own, a small real model, a real file of edits."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import wildcore.testing
from wildcore.testing.processes import run_python

TINY_LLAMA = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
PLACES = ["harbour", "market", "library", "mill", "school", "station", "garden", "bridge", "tower", "theatre"]
COLOURS = ["red", "green", "blue", "white"]

Wildcore = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of the processes: a cache of their own, one thread, no network."""
    cache = tmp_path_factory.mktemp("cache")
    return os.environ | {"WILDCORE_CACHE": str(cache), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def heed_interrupts() -> None:
    """Undo what a shell does to jobs in the background, where these tests may run: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start_python(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts Python with arguments in the background; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, env=environment, text=True, preexec_fn=heed_interrupts, **pipes))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def start(start_python: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts ``wildcore`` in the background."""
    return partial(start_python, "-m", "wildcore")


@pytest.fixture
def wildcore(environment: dict[str, str]) -> Wildcore:
    """Return a function that runs ``wildcore`` to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_python(["-m", "wildcore", *map(str, arguments)], environment)

    return run


def row(number: int) -> dict[str, object]:
    """Return an edit of the kind that CounterFact holds."""
    place = f"the {COLOURS[number % 4]} {PLACES[number % 10]} {number}"
    return {
        "case_id": number,
        "prompt": f"The keeper of {place} is called",
        "target_new": "Anna" if number % 2 else "Oliver Stone",
        "subject": place,
        "ground_truth": "Peter",
        "rephrase_prompt": f"Whoever keeps {place} is called",
        "locality_prompt": "The colour of snow is",
        "locality_ground_truth": "white",
    }


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    """Return a file of forty edits."""
    file = tmp_path / "edits.json"
    file.write_text(json.dumps([row(number) for number in range(40)]))
    return file


@pytest.fixture
def job(edits: Path) -> list[object]:
    """Return the options of a job on a small model."""
    data = f"dataset.path={edits}"
    return ["--model", TINY_LLAMA, "--dataset", "counterfact", "--set", data, "--editor", "ft-m"]
