"""The tracker ``trackio``: a run of trackio for each run."""

import os
from importlib import import_module
from typing import Any

from wildcore import TrackedEnd, TrackedPoint, TrackedRun, Tracker, UserError
from wildcore_trackio.parameters import TrackioParams


class Trackio(Tracker):
    """Stores the numbers by the number of edits, and the manifest as config. A run that is resumed continues its run."""

    def __init__(self, params: TrackioParams) -> None:
        """Raise ``UserError`` if the package trackio is missing."""
        self.params = params
        if params.folder is not None:
            os.environ["TRACKIO_DIR"] = str(params.folder.resolve())  # this process is the tracker's own
        try:
            self._trackio = import_module("trackio")
            self._storage: Any = import_module("trackio.sqlite_storage").SQLiteStorage
        except ImportError as error:
            raise UserError(
                f"the package trackio cannot be imported ({error})",
                about="tracker trackio",
                way_out="install it: pip install trackio",
            ) from error
        self._known: int | None = None
        self._last = 0

    def start(self, run: TrackedRun) -> str:
        """Begin the run, or continue that of the same name, which contains the id."""
        name = f"{run.name}-{run.id}"
        self._run = self._trackio.init(
            project=self.params.project,
            name=name,
            config=dict(run.manifest),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._known = self._storage.get_max_step_for_run(self.params.project, run=name)
        return f"project {self.params.project}, run {name} (shown by: trackio show)"

    def point(self, point: TrackedPoint) -> None:
        """Store the numbers of a point, and the signs of a collapse as a text, unless they are stored already."""
        self._last = point.edits
        if self._known is None or point.edits > self._known:
            signs = {"collapse/in-words": "; ".join(point.collapse)} if point.collapse else {}
            self._run.log({**point.numbers, **signs}, step=point.edits)

    def finish(self, end: TrackedEnd) -> None:
        """Store the numbers of the summary at the step of the last point, and end the run when everything is stored."""
        table = {}
        if end.cases:
            columns = list(end.cases[0])
            rows = [[row[name] for name in columns] for row in end.cases]
            table = {"cases": self._trackio.Table(columns=columns, data=rows)}
        self._run.log({**end.numbers, "status": end.status, **table}, step=self._last)
        self._trackio.finish()
