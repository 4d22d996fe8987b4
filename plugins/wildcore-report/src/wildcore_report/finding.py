"""The runs of a report: those named, and all in the folders named."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wildcore import Place, UserError
from wildcore.records.run_folder import RunFolder
from wildcore.reporting.console import printable

DISCARDED = "discarded"
"""Name of the folder in which a study keeps runs that do not count."""


@dataclass
class FoundRun:
    """A run, whether it is finished, and what was noticed about it. ``strict``: damage in it is an error, not only noted."""

    folder: RunFolder
    finished: bool = True
    strict: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass
class Found:
    """The runs found, and ``notes`` on those that were left out."""

    runs: list[FoundRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_runs(paths: Sequence[Path]) -> Found:
    """Return the finished runs at ``paths``: each is a run, or a folder with runs at any depth.

    Runs named are in the order given; those of a folder in the order of their schedule, dataset, model, editor and path. Raises
    ``UserError`` for a path that is neither, for a run that is unfinished or damaged, and for folders without any finished run.
    Unfinished and damaged runs within a folder are left out, which is noted.
    """
    found = Found()
    for path in paths:
        if (path / "manifest.json").is_file():
            _add(found, path)
        else:
            _add_within(found, path)
    return found


def runs_within(folder: Path) -> list[Path]:
    """Return the paths of all runs in a folder, or of the folder itself, without those that a study discarded."""
    manifests = [folder / "manifest.json"] if (folder / "manifest.json").is_file() else folder.rglob("manifest.json")
    return sorted(manifest.parent for manifest in manifests if not _is_discarded(manifest.parent))


def _add_within(found: Found, folder: Path) -> None:
    if not folder.is_dir():
        raise UserError("not a run, and not a folder with runs in it", Place(folder), "name a run or a folder of runs")
    paths = runs_within(folder)
    if not paths:
        raise UserError("contains no run", Place(folder), "name a run, a folder with runs in it, or a study's folder")
    count, problems = len(found.runs), list[str]()
    for path in paths:
        try:
            _add(found, path)
        except UserError as error:
            problems.append(printable(str(error)))
    if len(found.runs) == count and problems:
        raise UserError(
            f"none of its runs is finished ({len(problems)}); the first: {problems[0]}",
            Place(folder),
            "finish one of them first",
        )
    found.runs[count:] = sorted(found.runs[count:], key=_as_read)
    found.notes += [f"left out: {problem}" for problem in problems]


def _as_read(run: FoundRun) -> tuple[str, ...]:
    """Return by what the runs of a folder are ordered: their names may be hashes."""
    named = run.folder.manifest.identity
    parts = [named.get("schedule", {}).get("edits", ""), *(named[part]["name"] for part in ("dataset", "model", "editor"))]
    return (*map(str, parts), str(run.folder.path))


def _add(found: Found, path: Path) -> None:
    if path.resolve() in {known.folder.path.resolve() for known in found.runs}:
        return
    notes: list[str] = []
    folder = RunFolder.finished(path, notes.append)
    folder.manifest  # noqa: B018  # raises UserError if it is damaged
    found.runs.append(FoundRun(folder, notes=[printable(note) for note in notes]))


def _is_discarded(path: Path) -> bool:
    return path.parent.name == DISCARDED and (path.parent.parent / "studies").is_dir()


def open_run(path: Path) -> FoundRun:
    """Return the run at ``path``, finished or not: a run is finished once it is scored. Raises ``UserError`` if it is not a run,
    or if its manifest is damaged.
    """
    folder = RunFolder.open(path)
    folder.manifest  # noqa: B018  # raises UserError if it is damaged
    return FoundRun(folder, finished=folder.scores_path.exists(), strict=False)
