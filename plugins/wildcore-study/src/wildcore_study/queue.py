"""The runs of a study as executors see them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wildcore import CellWorker, WaitingCell
from wildcore_study.folder import StudyFolder
from wildcore_study.planning import StudyPlan


@dataclass(frozen=True)
class StudyQueue:
    """The runs of the plan ``plan_name`` in a study's folder. Pickled, it is no more than these two."""

    folder: Path
    plan_name: str

    def __reduce__(self) -> tuple[type["StudyQueue"], tuple[Path, str]]:
        """Leave out what was read."""
        return StudyQueue, (self.folder, self.plan_name)

    @cached_property
    def study(self) -> StudyFolder:
        """The study's folder."""
        return StudyFolder(self.folder.absolute())

    @cached_property
    def plan(self) -> StudyPlan:
        """The plan, which never changes."""
        return self.study.plan(self.plan_name)

    def waiting(self) -> Sequence[WaitingCell]:
        """Return the runs with missing cells that no living worker makes and that are not set aside."""
        finished = self.study.finished_cells()
        return [
            WaitingCell(run.id, run.model, run.description)
            for run in self.plan.runs
            if self.study.missing(run, finished) and self._is_free(run.id)
        ]

    def _is_free(self, run_id: str) -> bool:
        attempts = self.study.attempts(self.plan.run(run_id))
        return not attempts.is_being_made() and attempts.set_aside_because() is None

    def open_worker(self, device: str) -> CellWorker:
        """Return a worker of this process for the device."""
        from wildcore_study.worker import StudyWorker  # heavy

        return StudyWorker(self, device)

    def worker_command(self, device: str) -> Sequence[str]:
        """Return the command line of a process that makes waiting runs until none is left."""
        place = str(self.folder.absolute())
        return [sys.executable, "-m", "wildcore", "study", "work", place, self.plan_name, "--device", device]
