"""A run folder as it is submitted: every file read and held against its checksums. Nothing in it is trusted."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from wildcore import FrozenData, UserError
from wildcore.records.lines import LINE_BYTES, read_lines, whole_lines
from wildcore.records.run_folder import LINES, MANIFEST, RunFolder
from wildcore.records.schema import (
    AddedMetricRecord,
    CaseRecord,
    InvocationRecord,
    JudgingPointRecord,
    Manifest,
    ScoreRecord,
)
from wildcore.records.summary_file import FILES, changes, extent
from wildcore.records.summary_file import NAME as SUMMARY
from wildcore.storage import not_through_links, unsealed
from wildcore_leaderboard.findings import Problem, in_file

R = TypeVar("R", bound=FrozenData)

NEEDED = ("journal.jsonl", "scores.jsonl", SUMMARY)
NO_CHECKSUM = "it has no checksum, so an earlier version made it or its checksum was removed"


@dataclass
class Recorded:
    """The content of a run folder. ``findings`` says what is wrong with its files; what is damaged is missing here."""

    path: Path
    manifest: Manifest
    cases: list[CaseRecord] = field(default_factory=list)
    points: list[JudgingPointRecord] = field(default_factory=list)
    scores: list[ScoreRecord] = field(default_factory=list)
    added: list[AddedMetricRecord] = field(default_factory=list)
    calls: list[InvocationRecord] = field(default_factory=list)
    summary: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Problem] = field(default_factory=list)


def read_recorded(path: Path) -> Recorded | Problem:
    """Read the run at ``path``; only a finding if its manifest cannot be read.

    Raises ``UserError`` if ``path`` is not a run folder.
    """
    try:
        folder = RunFolder.open(path)
    except UserError as error:
        if not (path / MANIFEST).is_file():
            raise
        return Problem(where=path.name, problem=str(error))
    try:
        manifest = folder.manifest
    except (UserError, OSError, RecursionError) as error:
        return Problem(where=MANIFEST, problem=_without_place(error, path / MANIFEST))
    run = Recorded(path, manifest)
    run.findings += _seal_of_manifest(path / MANIFEST)
    run.findings += [in_file(path / name, "it is missing") for name in NEEDED if not (path / name).is_file()]
    run.cases = _lines(run, "journal.jsonl", CaseRecord)
    run.points = _lines(run, "points.jsonl", JudgingPointRecord)
    run.scores = _lines(run, "scores.jsonl", ScoreRecord)
    run.added = _lines(run, "scorings.jsonl", AddedMetricRecord)
    run.calls = _lines(run, "work.jsonl", InvocationRecord)
    run.findings += _repeated(run)
    run.summary = _summary(run)
    run.findings += _extents(run)
    return run


def _seal_of_manifest(path: Path) -> Iterator[Problem]:
    content = path.read_bytes()
    if unsealed(content) is content:
        yield in_file(path, NO_CHECKSUM)


def _lines(run: Recorded, name: str, model: type[R]) -> list[R]:
    """Return the records of a file up to the first line that is damaged, which is a finding."""
    path, records = run.path / name, list[R]()
    try:
        for record in read_lines(path, model, "", appended=False):
            records.append(record)
    except UserError as error:
        line = len(records) + 1
        run.findings.append(in_file(path, f"damaged: {_without_place(error, path)}", line))
        return records
    except OSError as error:
        run.findings.append(in_file(path, f"cannot be read: {error.strerror}"))
        return records
    bare = next((line.number for line in whole_lines(path) if _has_no_checksum(line.text)), None)
    if bare is not None:
        run.findings.append(in_file(path, NO_CHECKSUM, bare))
    return records


def _has_no_checksum(line: bytes) -> bool:
    return unsealed(line) is line


def _repeated(run: Recorded) -> Iterator[Problem]:
    keys: dict[str, Counter[Any]] = {
        "journal.jsonl": Counter((case.case, case.after_edits) for case in run.cases),
        "points.jsonl": Counter(point.after_edits for point in run.points),
        "scores.jsonl": Counter((one.case, one.after_edits, one.protocol, one.probe, one.metric) for one in run.scores),
        "scorings.jsonl": Counter(added.metric for added in run.added),
    }
    for name, counts in keys.items():
        repeated = [key for key, count in counts.items() if count > 1]
        if repeated:
            first = repeated[0][0] if isinstance(repeated[0], tuple) else repeated[0]
            yield in_file(run.path / name, f"lines are repeated: {len(repeated)}; the first is of {first}")


def _summary(run: Recorded) -> Mapping[str, Any]:
    """Return the summary; empty, and a finding, if it is damaged."""
    path = run.path / SUMMARY
    try:
        with open(path, "rb", opener=not_through_links) as stream:
            content = stream.read(LINE_BYTES)
        text = unsealed(content)
        found = json.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        run.findings.append(in_file(path, f"damaged: {error}"))
        return {}
    if text is content:
        run.findings.append(in_file(path, NO_CHECKSUM))
    return found if isinstance(found, dict) else {}


def _extents(run: Recorded) -> Iterator[Problem]:
    """Yield what changed in the files with lines since the summary was written."""
    known = {finding.where.partition(",")[0] for finding in run.findings}
    if SUMMARY in known or not run.summary:
        return
    for change in changes(run.path, LINES):
        yield Problem(where=change.name, problem=change.problem)
    extents = run.summary.get(FILES)
    if not isinstance(extents, dict):
        yield Problem(where=SUMMARY, problem="it does not hold the lengths and checksums of the files")
        return
    for name in LINES:
        then = extents.get(name, {}).get("lines", 0) if isinstance(extents.get(name, {}), dict) else 0
        if (now := extent(run.path / name).lines) > then:
            yield Problem(where=name, problem=f"lines were added since {SUMMARY} was written: {now - then}")


def _without_place(error: BaseException, path: Path) -> str:
    """Return the message of an error without the path of the file, which the finding names."""
    if isinstance(error, UserError) and isinstance(error.problem, str):
        return error.problem
    return str(error).replace(str(path), path.name) or type(error).__name__
