"""On how many threads the work runs."""

import os
import subprocess
import sys

import pytest

from wildcore.errors import render
from wildcore.threads import MOST, SPINS, CoreWatch, choose, for_free_cores, own_cores, spin_briefly

BUSY = "import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"


@pytest.mark.parametrize(
    ("cores", "used", "allowed", "count"),
    [
        (2, 0.1, None, 2),
        (2, 0.7, None, 1),
        (2, 1.9, None, 1),
        (8, 2.6, None, 5),
        (8, 0.0, 2.5, 2),
        (8, 0.0, 0.3, 1),
        (8, 7.0, 4.0, 1),
        (128, 3.0, None, MOST),
    ],
)
def test_auto_takes_the_cores_that_are_free(cores: int, used: float, allowed: float | None, count: int) -> None:
    chosen = for_free_cores(cores, used, allowed)
    assert chosen.count == count
    assert f"{cores - used:.1f} of {cores} cores are free" in render(chosen.reason)
    assert ("allowed" in render(chosen.reason)) == (allowed is not None and allowed < cores - used)


def test_what_the_user_asks_for_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choose("5", CoreWatch()).count == 5
    left_alone = choose("auto", CoreWatch())
    assert (left_alone.count, left_alone.reason) == (None, "OMP_NUM_THREADS=3")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= (choose("auto", CoreWatch()).count or 0) <= len(own_cores())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound to cores here")
def test_a_core_is_in_use_by_others_while_they_work_on_it_and_not_by_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    core = own_cores()[0]
    monkeypatch.setattr("wildcore.threads.own_cores", lambda: [core])
    monkeypatch.setattr("wildcore.threads.SHORTEST_SAMPLE", 1.0)
    busy = subprocess.Popen([sys.executable, "-c", BUSY.format(core=core)])
    try:
        assert CoreWatch().used_by_others() > 0.5
    finally:
        busy.kill()
        busy.wait()


@pytest.mark.parametrize("said", [{}, {"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_spin_briefly_unless_the_user_has_said_how_they_wait(
    said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", environment := dict(said))
    spin_briefly()
    assert environment == (said or {"GOMP_SPINCOUNT": SPINS})
