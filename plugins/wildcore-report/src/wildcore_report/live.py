"""A report that follows a folder of runs while they are made."""

import base64
import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wildcore import NO_PROGRESS, Place, Progress, UserError
from wildcore.records.run_folder import LINES, MANIFEST
from wildcore.reporting.console import printable
from wildcore_report.assemble import SERVER, page
from wildcore_report.building import Builder, Report
from wildcore_report.drawing import Drawing, figure_data
from wildcore_report.finding import Found, FoundRun, open_run, runs_within
from wildcore_report.payload import FigureData, Version

REST = 3.0
"""After a reading that took some time, the next one waits for at least this many times that time, so that the run itself is not
slowed down."""
LEAST_SECONDS = 1.0
FIGURES_KEPT = 200


class LiveReport:
    """The files that the page fetches: made once, and made anew in the background when a run in ``folder`` has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: Mapping[str, bytes] = {}
        """Each file compressed by gzip, by its path below the page."""
        self._ids: dict[Path, int] = {}
        """The number of each run, in the order in which they were first seen: addresses of cases hold it, so it never changes."""
        self._figures: dict[tuple[object, ...], FigureData] = {}
        self._lock = threading.Lock()
        self._finished = Builder()
        self._states_read: tuple[str, ...] = ()
        self._state = ""
        self._next = 0.0

    def read(self, progress: Progress = NO_PROGRESS) -> Report:
        """Read the runs now. Raises ``UserError`` if the folder contains no run."""
        begun = time.monotonic()
        state = state_of(self.folder)
        found = find_all(self.folder)
        finished = [run for run in found.runs if run.finished]
        builder = self._with_finished(finished, progress).copy()
        unfinished = [run for run in found.runs if not run.finished]
        builder.read(unfinished, progress)
        for run in (*finished, *unfinished):
            self._ids.setdefault(run.folder.path, len(self._ids) + 1)
        ids = [self._ids[run.folder.path] for run in (*finished, *unfinished)]
        report = builder.report(found.notes, progress, self._drawn, ids)
        alone = (self.folder / MANIFEST).is_file()  # in a folder of runs another one may begin
        self.files = files_of(report, Version(version=state[:16], finished=alone and not unfinished))
        self._state = state
        self._next = time.monotonic() + max(LEAST_SECONDS, REST * (time.monotonic() - begun))
        return report

    def _with_finished(self, runs: Sequence[FoundRun], progress: Progress) -> Builder:
        """Return a builder that has read the finished ``runs``: that of the last time if none has changed."""
        states = tuple(state_of(run.folder.path) for run in runs)
        if states != self._states_read:
            self._finished = Builder()
            self._finished.read(runs, progress)
            self._states_read = states
        return self._finished

    def refresh(self) -> None:
        """Read the runs anew in the background if something changed, unless that is being done or was done recently."""
        if time.monotonic() < self._next or not self._lock.acquire(blocking=False):
            return
        threading.Thread(target=self._reread, name="reading runs", daemon=True).start()

    def _reread(self) -> None:
        try:
            if state_of(self.folder) != self._state:
                self.read()
            else:
                self._next = time.monotonic() + LEAST_SECONDS
        except (UserError, OSError):
            self._next = (
                time.monotonic() + LEAST_SECONDS
            )  # a run is being removed or moved; what was read last is shown
        finally:
            self._lock.release()

    def _drawn(self, drawing: Drawing) -> FigureData:
        """Return the figure, drawn only if its numbers are new."""
        key = (drawing.id, drawing.title, drawing.caption, drawing.alt, drawing.height, drawing.table.model_dump_json())
        if key not in self._figures:
            if len(self._figures) >= FIGURES_KEPT:
                self._figures.clear()
            self._figures[key] = figure_data(drawing)
        return self._figures[key]


def find_all(folder: Path) -> Found:
    """Return all runs in a folder, finished or not; what cannot be read is noted. Raises ``UserError`` if there is none."""
    if not folder.is_dir():
        raise UserError("not a folder", Place(folder), "name a folder of runs")
    found = Found()
    for path in runs_within(folder):
        try:
            found.runs.append(open_run(path))
        except UserError as error:
            found.notes.append(f"left out: {printable(str(error))}")
    if not found.runs:
        raise UserError("contains no run", Place(folder), "name a folder with a run in it")
    return found


def state_of(folder: Path) -> str:
    """Return a text that changes when a file of a run in ``folder`` does."""
    digest = hashlib.sha256()
    for path in runs_within(folder):
        for name in (MANIFEST, *LINES):
            try:
                found = (path / name).stat()
            except OSError:
                continue
            digest.update(f"{path / name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def files_of(report: Report, version: Version) -> dict[str, bytes]:
    """Return the page and its data, each compressed by gzip, by their paths."""
    from gzip import compress

    shell = "".join(page(report.summary.title, source=SERVER))
    texts = {
        "": shell,
        "data/summary.json": report.summary_json,
        "data/version.json": version.model_dump_json(),
    }
    files = {name: compress(text.encode(), mtime=0) for name, text in texts.items()}
    return files | {f"data/{name}.json": base64.b64decode(content) for name, content in report.blocks.items()}
