"""How many threads torch uses, and how they wait for each other. Loads neither torch nor numpy.

By default torch uses all cores, and a thread that waits for another spins. If other processes are running, this takes many times
as long as the work itself (benchmarks/README.md, "threads"). So a thread spins only for a moment before it sleeps, which keeps
the speed on idle cores, and only as many threads are used as cores are free. The size of the model does not matter: on idle
cores even the bundled model of 5.8 million parameters gets faster with each doubling up to 16 threads, the most that was
measured.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from wildcore.errors import Message, Option

AUTO = "auto"
MOST = 16
"""More threads were not measured; ``--threads`` can ask for more."""
COUNT_VARIABLE = "OMP_NUM_THREADS"
WAITING_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SPINS = "20000"
"""Rounds that a waiting thread spins before it sleeps; some ten microseconds. GNU OpenMP's own choice is 300,000 or more."""
SHORTEST_SAMPLE = 0.3
"""In seconds; processor time is counted in hundredths of a second."""


@dataclass(frozen=True)
class Threads:
    """How many threads to use (None: torch's default) and why, in words."""

    count: int | None
    reason: Message


def spin_briefly() -> None:
    """Make OpenMP's threads spin only briefly before they sleep, unless the user has chosen otherwise. Must be called before
    torch is loaded.
    """
    if not any(variable in os.environ for variable in WAITING_VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def own_cores() -> list[int]:
    """Return the cores that this process may use."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not available on this system
        return list(range(psutil.cpu_count() or 1))


class CoreWatch:
    """Measures how many of this process's cores other processes use, from the creation of the object on."""

    def __init__(self) -> None:
        self.cores = own_cores()
        self._start, self._busy, self._own = self._now()

    def used_by_others(self) -> float:
        """Return the average number of cores used by others; waits until the measurement has lasted ``SHORTEST_SAMPLE``."""
        time.sleep(max(0.0, self._start + SHORTEST_SAMPLE - time.monotonic()))
        now, busy, own = self._now()
        others = (busy - self._busy - (own - self._own)) / (now - self._start)
        return min(max(others, 0.0), float(len(self.cores)))

    def _now(self) -> tuple[float, float, float]:
        """Return the time, and the seconds for which all processes and this process have used the cores."""
        each = psutil.cpu_times(percpu=True)
        watched = [each[core] for core in self.cores if core < len(each)]
        return time.monotonic(), sum(_busy(times._asdict()) for times in watched), sum(os.times()[:2])


def choose(asked: str, watch: CoreWatch) -> Threads:
    """Return the threads to use. ``asked`` is a number or "auto"; auto leaves ``OMP_NUM_THREADS`` as the user set it."""
    if asked != AUTO:
        return Threads(int(asked), Option("threads"))
    if os.environ.get(COUNT_VARIABLE):
        return Threads(None, f"{COUNT_VARIABLE}={os.environ[COUNT_VARIABLE]}")
    return for_free_cores(len(watch.cores), watch.used_by_others(), quota())


def for_free_cores(cores: int, used_by_others: float, allowed: float | None = None) -> Threads:
    """Return one thread for each free core, at least one and at most ``MOST``; ``allowed`` is a limit on processor time, in
    cores.
    """
    free = cores - used_by_others
    limited = "" if allowed is None or allowed >= free else f", {allowed:.1f} allowed"
    count = max(1, min(MOST, round(free if allowed is None else min(free, allowed))))
    return Threads(count, (f"{free:.1f} of {cores} cores are free{limited}; ", Option("threads"), " changes it"))


def quota() -> float | None:
    """Return how many cores' time a container may use. None: there is no limit, or it is not known."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            limit, period = file.read().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _busy(times: Mapping[str, float]) -> float:
    """Return the seconds for which a core was busy; time of guests is included in the time of users."""
    return sum(seconds for kind, seconds in times.items() if kind not in ("idle", "iowait", "guest", "guest_nice"))
