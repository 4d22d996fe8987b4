"""Cells in jobs of submitit's local executor: real processes, which die and are submitted again."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wildcore_slurm.executor import FRUITLESS_JOBS, SubmititExecutor
from wildcore_slurm.parameters import SubmititParams

from wildcore import UserError
from wildcore.testing.cells import FolderQueue, answers_without_executor, facts
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.packages import check_import, check_offers, check_readme


@dataclass(frozen=True)
class Broken(FolderQueue):
    """A queue whose workers end at once."""

    def worker_command(self, device: str) -> Sequence[str]:
        return [sys.executable, "-c", "raise SystemExit(3)"]


def execute(queue: FolderQueue, devices: Sequence[str]) -> list[str]:
    progress: Any = quiet_environment(queue.folder).progress
    params = SubmititParams(cluster="local", poll_seconds=0.2)
    SubmititExecutor(params).execute(queue, devices, progress)
    return [str(note) for note in progress.notes]


def test_jobs_that_die_are_submitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDCORE_CACHE", str(tmp_path / "cache"))
    queue = FolderQueue(tmp_path / "cells", "ft-m", "wild")
    facts(queue, {"a": "dies", "b": "", "c": "fails", "d": ""})
    execute(queue, ["cpu", "cpu"])
    assert queue.answers() == answers_without_executor(queue, tmp_path / "plain")
    assert sorted(queue.finishes()) == ["a", "b", "c", "d"]
    assert {cell: queue.attempts(cell) for cell in "abcd"} == {"a": 2, "b": 1, "c": 2, "d": 1}


def test_workers_that_never_run_a_cell_are_an_error(tmp_path: Path) -> None:
    queue = Broken(tmp_path / "cells", "ft-m", "wild")
    facts(queue, {"a": ""})
    with pytest.raises(UserError, match=f"no worker can be started: {FRUITLESS_JOBS} jobs in a row ended"):
        execute(queue, ["cpu"])


def test_the_package() -> None:
    check_import("wildcore_slurm", ["submitit", "torch", "transformers"])
    check_import("wildcore_slurm.executor", ["submitit", "torch", "transformers"])
    check_offers("slurm")
    check_readme("slurm", Path(__file__).parents[1] / "README.md")
