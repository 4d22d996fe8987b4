"""Seconds of the README's first command: on an idle machine, and beside two busy processes.

    python benchmarks/first_command.py
    python benchmarks/first_command.py --python .venv/bin/python --python ../before/.venv/bin/python --repeat 3
    python benchmarks/first_command.py --set OMP_NUM_THREADS=1 --limit 4 --timeout 300

Each run is a process of its own with an empty folder for its cache and its result. ``--python`` names the interpreters of the
installations to compare; they take turns. ``--set`` adds to the environment, from which variables that choose threads are taken
out. Processor seconds far above those of one thread are spent waiting.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHOOSING_THREADS = ("OMP_", "MKL_", "GOMP_", "KMP_", "WILDCORE_")
BUSY = "while True: pass"


@dataclass(frozen=True)
class Took:
    """Seconds of a run by the clock and of processors; ``ended`` is false where it was stopped."""

    wall: float
    processors: float
    ended: bool


def main() -> None:
    """Measure, and print a line for each run."""
    arguments = _arguments()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(CHOOSING_THREADS)}
    environment |= dict(pair.split("=", 1) for pair in arguments.set)
    for busy in arguments.busy:
        for _ in range(arguments.repeat):
            for python in arguments.python:
                load = os.getloadavg()[0]
                with busy_processes(busy):
                    took = first_command(python, arguments.limit, environment, arguments.timeout)
                said = f"{took.wall:.1f} s" if took.ended else f"not ended in {took.wall:.0f} s"
                beside = f"beside {busy} busy processes" if busy else "alone"
                print(
                    f"{python}, {beside}: {said}, {took.processors:.1f} processor s, load before {load:.1f}", flush=True
                )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="interpreter of an installation; several are compared")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2], help="busy processes beside it")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--limit", type=int, default=40, help="edits; the README has 40")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="environment variable")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which a run is stopped")
    arguments = parser.parse_args()
    arguments.python = arguments.python or [sys.executable]
    return arguments


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep ``count`` processes busy in this context."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        running += (subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count))
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def first_command(python: str, limit: int, environment: Mapping[str, str], timeout: float) -> Took:
    """Run the command with an interpreter's installation. Ends with what it says where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        own = {**environment, "WILDCORE_CACHE": str(Path(folder) / "cache")}
        options = ["--editor", "rome", "--limit", str(limit), "--out", str(Path(folder) / "run")]
        start, used = time.monotonic(), _processor_seconds()
        ended = True
        try:
            command = [os.path.abspath(python), "-m", "wildcore", "eval", *options]
            # in the current folder, Python might import sources that lie there
            subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=timeout, check=True)
        except subprocess.CalledProcessError as error:
            sys.exit(f"{python}: {error.stderr}")
        except subprocess.TimeoutExpired:  # the process is killed then
            ended = False
        return Took(time.monotonic() - start, _processor_seconds() - used, ended)


def _processor_seconds() -> float:
    """Return the seconds that processes started here have used; those that have not ended, as busy ones, do not count yet."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
