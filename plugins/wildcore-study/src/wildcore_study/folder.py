"""A study's folder, which several studies may share.

``runs`` has the finished runs, ``working`` those being made, ``attempts`` who made them and how that ended, ``studies`` the
plans, ``discarded`` half-written runs that were given up, and damaged ones. A run is made in ``working`` and appears in
``runs`` by one rename, after its scores have been summed up.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from wildcore import Option, Place, UserError, command
from wildcore.records.run_folder import RunFolder
from wildcore.storage import make_durable, unsealed, write_durably
from wildcore_study.attempts import Attempts
from wildcore_study.planning import StudyPlan, StudyRun, cell_id, digest

SUMMARY = "summary.json"


@dataclass
class StudyFolder:
    """A study's folder. What a finished run contains is read once, because it does not change."""

    path: Path
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        """The folder of finished runs."""
        return self.path / "runs"

    @property
    def working(self) -> Path:
        """The folder of runs that are being made, or were interrupted."""
        return self.path / "working"

    @property
    def studies(self) -> Path:
        """The folder of plans."""
        return self.path / "studies"

    def attempts(self, run: StudyRun) -> Attempts:
        """Return the attempts at a run."""
        return Attempts(self.path / "attempts" / run.id)

    def keep_plan(self, plan: StudyPlan) -> str:
        """Write a plan, and return the name under which ``plan`` reads it again. Equal plans have one name."""
        name = digest([run.model_dump(mode="json") for run in plan.runs])
        self.studies.mkdir(parents=True, exist_ok=True)
        write_durably(self.studies / f"{name}.json", plan.model_dump_json(indent=1))
        return name

    def plan(self, name: str) -> StudyPlan:
        """Read a plan. Raises ``UserError`` if there is none of this name, or another version wrote it."""
        path = self.studies / f"{name}.json"
        try:
            return StudyPlan.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(
                "holds no plan of this name", Place(path), f"make it with: {command('study', 'run')}"
            ) from error
        except ValidationError as error:
            raise UserError(
                "is damaged, or was written by another version", Place(path), "start the study again"
            ) from error

    def plans(self) -> dict[str, StudyPlan]:
        """Return all plans by their names, in the order in which they were written."""
        files = sorted(self.studies.glob("*.json"), key=lambda file: file.stat().st_mtime)
        return {file.stem: self.plan(file.stem) for file in files}

    def finished_cells(self) -> dict[str, Path]:
        """Return the run folder of each finished cell."""
        found: dict[str, Path] = {}
        for folder in sorted(self.runs.glob("*/")) if self.runs.is_dir() else ():
            if folder.name not in self._known:
                if not is_summed_up(folder):
                    continue
                self._known[folder.name] = cells_of(folder)
            for cell in self._known[folder.name]:
                found.setdefault(cell, folder)
        return found

    def missing(self, run: StudyRun, finished: Iterable[str] | None = None) -> list[str]:
        """Return the protocols of a run whose cells are not finished."""
        known = set(self.finished_cells() if finished is None else finished)
        return [protocol for protocol, cell in run.cells.items() if cell not in known]

    def unfinished(self, run: StudyRun) -> list[Path]:
        """Return the half-written folders of a run."""
        return sorted(path.parent for path in self.working.glob(f"{run.id}-*/manifest.json"))

    def new_folder(self, run: StudyRun, protocols: Sequence[str]) -> Path:
        """Return the place of a run under ``protocols`` while it is being made."""
        cells = digest(sorted(run.cells[protocol] for protocol in protocols))
        return self.working / f"{run.id}-{cells[:8]}"

    def publish(self, folder: Path) -> None:
        """Make a finished run visible. If it is there already, this one is discarded. A damaged one there is discarded."""
        self.runs.mkdir(parents=True, exist_ok=True)
        place = self.runs / folder.name
        if place.is_dir() and not is_summed_up(place):
            self.discard(place)
        try:
            os.rename(folder, place)
        except OSError:
            if not place.is_dir():
                raise
            self.discard(folder)
        make_durable(self.runs)

    def discard(self, folder: Path) -> Path:
        """Move a half-written or damaged run to ``discarded``, and return its place there."""
        place = self.path / "discarded"
        place.mkdir(parents=True, exist_ok=True)
        number = 1 + sum(1 for _ in place.glob(f"{folder.name}.*"))
        return folder.rename(place / f"{folder.name}.{number}")


def is_summed_up(folder: Path) -> bool:
    """Return whether a run folder has a valid summary."""
    try:
        return isinstance(json.loads(unsealed((folder / SUMMARY).read_bytes())), dict)
    except (OSError, ValueError):
        return False


def cells_of(folder: Path) -> tuple[str, ...]:
    """Return the ids of the cells that a run folder of a study holds."""
    run_id = folder.name.partition("-")[0]
    protocols = RunFolder.open(folder).manifest.identity["protocols"]
    return tuple(cell_id(run_id, name, modules) for name, modules in protocols.items())


def require_folder(path: Path) -> StudyFolder:
    """Return the study's folder at ``path``. Raises ``UserError`` if it holds no study."""
    if not any((path / "studies").glob("*.json")):
        raise UserError(
            "holds no study", Place(path), ("name the folder that was given to study run with ", Option("out"))
        )
    return StudyFolder(path)
