"""Means of scores over cases, with their intervals: the rows of a run's table."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from wildcore.records.schema import CaseRecord, ScoreRecord
from wildcore.scoring.intervals import interval
from wildcore.scoring.scores import REFUSED
from wildcore.types import NEARNESSES, PROBE_KINDS, FrozenData, Nearness, ProbeKind


class SummaryRow(FrozenData):
    """One number of the table: a probe kind under a protocol by a metric.

    A case's value is the mean over its probes of that kind. ``after`` is the mean over cases with its 95 % interval: Wilson's
    if all values lie between 0 and 1 (exact in kind for 0/1 values, conservative for ratios), else the normal one. ``before``
    is the mean over the same cases.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    cases: int
    scored: int
    unscored: int
    refused: int


def summarise(scores: Iterable[ScoreRecord]) -> list[SummaryRow]:
    """Aggregate scores: one row for each protocol, probe kind and metric; protocols and metrics in order of appearance."""
    groups: dict[tuple[str, ProbeKind, str], list[ScoreRecord]] = defaultdict(list)
    for score in scores:
        groups[score.protocol, score.kind, score.metric].append(score)
    protocols = list(dict.fromkeys(protocol for protocol, _, _ in groups))
    ordered = sorted(groups, key=lambda key: (protocols.index(key[0]), PROBE_KINDS.index(key[1])))
    return [_row(*key, groups[key]) for key in ordered]


def by_nearness(cases: Iterable[CaseRecord], scores: Iterable[ScoreRecord]) -> dict[Nearness, list[SummaryRow]]:
    """Return the rows for the probes of hard locality of each sort; only for the sorts that the run has."""
    sorts = {(case.case, p.protocol, p.probe): p.nearness for case in cases for p in case.probes if p.nearness}
    groups: dict[Nearness, list[ScoreRecord]] = {nearness: [] for nearness in NEARNESSES}
    for score in scores:
        nearness = sorts.get((score.case, score.protocol, score.probe))
        if nearness is not None:
            groups[nearness].append(score)
    return {nearness: summarise(group) for nearness, group in groups.items() if group}


def _row(protocol: str, kind: ProbeKind, metric: str, rows: Sequence[ScoreRecord]) -> SummaryRow:
    scored = [row for row in rows if row.after is not None]
    refused = sum(row.after_reason == REFUSED for row in rows)
    after = _case_means((row.case, row.after) for row in scored)
    before = _case_means((row.case, row.before) for row in scored)
    low, high = interval(after) if after else (None, None)
    return SummaryRow(
        protocol=protocol,
        kind=kind,
        metric=metric,
        before=fmean(before) if before else None,
        after=fmean(after) if after else None,
        low=low,
        high=high,
        cases=len(after),
        scored=len(scored),
        unscored=len(rows) - len(scored) - refused,
        refused=refused,
    )


def _case_means(values: Iterable[tuple[str, float | None]]) -> list[float]:
    by_case: dict[str, list[float]] = defaultdict(list)
    for case, value in values:
        if value is not None:
            by_case[case].append(value)
    return [fmean(of_case) for of_case in by_case.values()]
