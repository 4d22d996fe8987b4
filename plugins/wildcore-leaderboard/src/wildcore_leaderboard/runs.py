"""The runs that a site is made of: what each says of itself, and its values by case."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildcore import Place, UserError
from wildcore.jobs.build import name_in_words, with_later_parameters
from wildcore.records.run_folder import LINES, MANIFEST, RunFolder
from wildcore.records.schema import JudgingPointRecord, Manifest, ScoreRecord
from wildcore.records.summary_file import NAME as SUMMARY
from wildcore.registry import Registry
from wildcore.reporting.run import readable_manifest
from wildcore.scoring.retention import at_point
from wildcore_leaderboard.named import Departure, departures
from wildcore_leaderboard.private import without_paths

FILES = (MANIFEST, SUMMARY, *LINES)
DISCARDED = "discarded"
"""Folder of a study with runs that were given up."""
DESCRIBED = {"model": ("name", "fingerprint"), "dataset": ("name", "hash"), "schedule": ("edits", "judged", "model")}
"""Fields of an identity without which a run has no table."""
MOST_POINTS = 10
"""Most judging points of one run that have tables of their own."""

Point = int | None
"""A judging point of a sequence at which all cases written so far were evaluated; None: each case after its own update."""


@dataclass(frozen=True)
class FileFacts:
    """A file of a run: its name, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class SiteRun:
    """A finished run. ``id`` is made from the content of its files, ``path`` is relative to the folder of all runs.

    ``identity`` is in the terms of the installed plugins. ``scores`` and ``cases`` are by judging point. ``subjects`` holds the
    subject of each case. ``warnings`` says which files changed since the run was summed up, and which cases are missing;
    ``notes`` are those of the manifest.
    """

    id: str
    path: str
    folder: RunFolder
    manifest: Manifest
    identity: Mapping[str, Any]
    files: tuple[FileFacts, ...]
    scores: Mapping[Point, tuple[ScoreRecord, ...]]
    cases: Mapping[Point, frozenset[str]]
    subjects: Mapping[str, str]
    refused: int
    diverged: int
    seconds_per_edit: float | None
    points: tuple[JudgingPointRecord, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    departures: tuple[Departure, ...]

    @property
    def editor(self) -> str:
        """The name of the editor, with its transforms."""
        return name_in_words(self.identity["editor"])

    def shared_subjects(self, point: Point) -> dict[str, str]:
        """Return the subject of each case at a judging point that shares it with another: these are no independent cases."""
        found = {case: self.subjects[case] for case in sorted(self.cases[point]) if case in self.subjects}
        counts = Counter(found.values())
        return {case: subject for case, subject in found.items() if counts[subject] > 1}

    @property
    def last_point(self) -> Point:
        """The judging point at which the run ended."""
        return None if None in self.scores else max(point for point in self.scores if point is not None)


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of all runs in ``folder``, at any depth, sorted by path. Links to folders are not followed.

    Raises ``UserError`` if there are none.
    """
    paths = sorted(manifest.parent for manifest in folder.rglob(MANIFEST)) if folder.is_dir() else []
    kept = [path for path in paths if not (path.parent.name == DISCARDED and (path.parent.parent / "studies").is_dir())]
    if not kept:
        raise UserError("contains no run", Place(folder), "name a folder with run folders in it, at any depth")
    return kept


def read_run(registry: Registry, path: Path, within: Path) -> SiteRun:
    """Read a finished run. Raises ``UserError`` if it is unfinished or damaged, or of a version that cannot be read."""
    warnings: list[str] = []
    folder = RunFolder.finished(path, warnings.append)
    manifest = readable_manifest(folder)
    try:
        identity = with_later_parameters(registry, manifest.identity)
        _require_described(identity)
        return _read(folder, manifest, identity, path.relative_to(within), warnings)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"its manifest lacks something that every run has ({type(error).__name__}: {error})",
            Place(path / MANIFEST),
            "it is damaged, or another version of wildcore made it",
        ) from error


def _require_described(identity: Mapping[str, Any]) -> None:
    """Raise ``KeyError`` or ``TypeError`` for an identity without what tables are made of."""
    for part, fields in DESCRIBED.items():
        if not all(isinstance(identity[part][field], str) for field in fields):
            raise TypeError(f"identity.{part} is not described")
    if not isinstance(identity["editor"].get("patch", {"requests": 1})["requests"], int):
        raise TypeError("identity.editor.patch is not described")
    for name, modules in identity["protocols"].items():
        if not all(isinstance(modules[part]["name"], str) for part in ("context", "generator", "truncator")):
            raise TypeError(f"identity.protocols.{name} is not described")


def _read(
    folder: RunFolder, manifest: Manifest, identity: Mapping[str, Any], path: Path, warnings: list[str]
) -> SiteRun:
    subjects: dict[str, str] = {}
    cases: dict[Point, set[str]] = {}
    edits = {}
    for record in folder.records():
        cases.setdefault(record.after_edits, set()).add(record.case)
        if record.request.subject:
            subjects[record.case] = record.request.subject.strip().casefold()
        edits[record.case] = record.edit
    files = tuple(_file_facts(folder.path))
    by_point = _points(manifest, cases)
    scores = _scores(folder, manifest, by_point)
    seconds = [edit.seconds for edit in edits.values() if edit.status == "edited"]
    return SiteRun(
        id=hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()[:12],
        path=path.as_posix(),
        folder=folder,
        manifest=manifest,
        identity=identity,
        files=files,
        scores=scores,
        cases=by_point,
        subjects=subjects,
        refused=sum(edit.status == "refused" for edit in edits.values()),
        diverged=sum(edit.patch is not None and edit.patch.get("finite") is False for edit in edits.values()),
        seconds_per_edit=sum(seconds) / len(seconds) if seconds else None,
        points=tuple(folder.points()),
        metrics={added.metric: added.module for added in folder.scorings()},
        warnings=tuple(without_paths(warnings)),
        notes=tuple(without_paths(manifest.notes)),
        departures=tuple(departures(manifest)),
    )


def _file_facts(folder: Path) -> Iterator[FileFacts]:
    for name in FILES:
        path = folder / name
        if path.is_file():
            with path.open("rb") as stream:
                yield FileFacts(name, path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


def _points(manifest: Manifest, cases: Mapping[int | None, set[str]]) -> dict[Point, frozenset[str]]:
    """Return the cases at each judging point that has a table: of a sequence at most its last ``MOST_POINTS``."""
    everything = frozenset(case for found in cases.values() for case in found)
    if manifest.identity.get("schedule", {}).get("edits") != "sequential":
        return {None: everything}
    count = manifest.case_count
    counted = {count if after is None else after: frozenset(found) for after, found in cases.items()}
    of_all = {after: found for after, found in counted.items() if len(found) == after}
    if max(counted) not in of_all:
        return {None: everything}
    return {after: of_all[after] for after in sorted(of_all)[-MOST_POINTS:]}


def _scores(folder: RunFolder, manifest: Manifest, points: Iterable[Point]) -> dict[Point, tuple[ScoreRecord, ...]]:
    """Return the scores at each judging point; at None each case as it was evaluated last."""
    wanted = set(points)
    if None in wanted:
        return {None: tuple(folder.scores())}
    found: dict[Point, list[ScoreRecord]] = {point: [] for point in sorted(wanted)}  # type: ignore[type-var]
    for score in folder.all_scores():
        if (point := at_point(score, manifest.case_count)) in wanted:
            found[point].append(score)
    return {point: tuple(scores) for point, scores in found.items()}
