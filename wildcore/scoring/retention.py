"""What is left of edits at later judging points: the retention curve and the retention matrix."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, JudgingPointRecord, ScoreRecord
from wildcore.scoring.clusters import subjects
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.types import FrozenData

WITHOUT_SAMPLES: dict[str, Any] = {"model": {"measured": {"__all__": {"__all__": {"samples"}}}}}
"""What a summary leaves out: the value of each item of a measured number, which ``points.jsonl`` has."""


class RetentionPoint(FrozenData):
    """A judging point: the numbers over all cases evaluated there, and what was measured of the model (None: nothing was).

    ``cells`` is empty if each case was evaluated at one point alone, so that points do not compare.
    """

    after_edits: int
    cells: tuple[SummaryRow, ...]
    model: JudgingPointRecord | None


class RetentionMatrix(FrozenData):
    """Reliability of each group of edits at each judging point, under a protocol by its first metric (paper, Figure 5).

    Row i is the group of edits made between the judging points i - 1 and i: those numbered ``groups[i]``, first and last, from
    1. Column j is the judging point after ``after_edits[j]`` edits. None: the group is not made yet, or none of it was scored.
    """

    protocol: str
    metric: str
    groups: tuple[tuple[int, int], ...]
    after_edits: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]


class Collapse(FrozenData):
    """From which judging point on the model was collapsed, and the signs there. ``lasting``: at all later points too."""

    after_edits: int
    signs: tuple[str, ...]
    lasting: bool
    stopped: bool


def retention(folder: RunFolder) -> list[RetentionPoint]:
    """Return the judging points of a run in order; none if it has only one."""
    by_point: dict[int, list[ScoreRecord]] = defaultdict(list)
    for score in folder.all_scores():
        if score.after_edits is not None:
            by_point[score.after_edits].append(score)
    measured = {point.after_edits: point for point in folder.points()}
    if len(by_point) < 2 and not measured:
        return []
    compares = _compares(by_point)
    clusters = subjects(folder.cases())
    return [
        RetentionPoint(
            after_edits=after,
            cells=tuple(summarise(by_point[after], clusters)) if compares and after in by_point else (),
            model=measured.get(after),
        )
        for after in sorted(by_point.keys() | measured.keys())
    ]


def retention_matrices(folder: RunFolder) -> list[RetentionMatrix]:
    """Return the retention matrix under each protocol; none if the run has fewer than two judging points of all cases."""
    number = {case: index for index, case in enumerate(folder.manifest.case_ids, start=1)}
    by_point: dict[int, list[ScoreRecord]] = defaultdict(list)
    first: dict[str, str] = {}
    for score in folder.all_scores():
        if score.kind != "reliability" or score.after_edits is None or score.case not in number:
            continue
        if score.metric == first.setdefault(score.protocol, score.metric):
            by_point[score.after_edits].append(score)
    if len(by_point) < 2 or not _compares(by_point):
        return []
    ends = sorted(by_point)
    groups = tuple(zip([1, *(end + 1 for end in ends)], ends, strict=False))
    return [
        RetentionMatrix(
            protocol=protocol,
            metric=metric,
            groups=groups,
            after_edits=tuple(ends),
            values=tuple(
                tuple(_mean(by_point[end], protocol, number, low, high) for end in ends) for low, high in groups
            ),
        )
        for protocol, metric in first.items()
    ]


def collapse(points: Iterable[JudgingPointRecord]) -> Collapse | None:
    """Return from which judging point on a model was collapsed. None: it shows no signs at any.

    Without lasting signs, it is the first point that shows any.
    """
    measured = sorted((point for point in points if point.after_edits), key=lambda point: point.after_edits)
    with_signs = [point for point in measured if point.collapse]
    if not with_signs:
        return None
    tail: list[JudgingPointRecord] = []
    for point in reversed(measured):
        if not point.collapse:
            break
        tail.insert(0, point)
    first = tail[0] if tail else with_signs[0]
    stopped = any(point.stopped for point in measured)
    return Collapse(after_edits=first.after_edits, signs=first.collapse, lasting=bool(tail), stopped=stopped)


def retention_summary(folder: RunFolder) -> dict[str, Any]:
    """Return the judging points, matrices and collapse of a run as JSON values for its summary; empty if it has none."""
    points = retention(folder)
    if not points:
        return {}
    found = collapse(folder.points())
    return {
        "points": [point.model_dump(mode="json", exclude=WITHOUT_SAMPLES) for point in points],
        "matrices": [matrix.model_dump(mode="json") for matrix in retention_matrices(folder)],
        "collapse": found.model_dump(mode="json") if found else None,
    }


def judging_points_of_all(folder: RunFolder) -> dict[int, frozenset[str]]:
    """Return the judging points at which all cases written so far were evaluated: the cases by the number of edits."""
    cases: dict[int, set[str]] = defaultdict(set)
    count = folder.manifest.case_count
    for record in folder.records():
        cases[at_point(record, count)].add(record.case)
    return {after: frozenset(found) for after, found in cases.items() if len(found) == after}


def at_point(record: CaseRecord | ScoreRecord, case_count: int) -> int:
    """Return after how many edits a record of a sequence was made; earlier versions evaluated all cases at the end alone."""
    return case_count if record.after_edits is None else record.after_edits


def _compares(by_point: Mapping[int, Sequence[ScoreRecord]]) -> bool:
    """Return whether some case was evaluated at several points."""
    seen = set[str]()
    for scores in by_point.values():
        cases = {score.case for score in scores}
        if cases & seen:
            return True
        seen |= cases
    return len(by_point) == 1


def _mean(scores: Sequence[ScoreRecord], protocol: str, number: Mapping[str, int], low: int, high: int) -> float | None:
    """Return the mean over the cases numbered ``low`` to ``high`` of the mean over their probes."""
    values: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        if score.protocol == protocol and score.after is not None and low <= number[score.case] <= high:
            values[score.case].append(score.after)
    return fmean(fmean(of_case) for of_case in values.values()) if values else None
