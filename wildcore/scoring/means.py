"""Means of scores over cases, with their intervals: the rows of a run's table."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from wildcore.records.schema import CaseRecord, ScoreRecord
from wildcore.scoring.clusters import cluster_names, subjects
from wildcore.scoring.intervals import NO_INTERVAL, Method, interval
from wildcore.scoring.scores import REFUSED
from wildcore.scoring.values import case_means
from wildcore.types import NEARNESSES, PROBE_KINDS, FrozenData, Nearness, ProbeKind


class SummaryRow(FrozenData):
    """One number of the table: a probe kind under a protocol by a metric.

    A case's value is the mean over its probes of that kind. ``after`` is the mean over cases with its 95 % interval from
    ``low`` to ``high`` by the method ``interval``: Wilson's if all values are 0 or 1, else Student's t. ``before`` is the mean
    over the same cases. ``clusters`` is the number of independent clusters of cases: cases that share a subject are one.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    interval: Method = "none"
    cases: int
    clusters: int = 0
    scored: int
    unscored: int
    refused: int


def summarise(scores: Iterable[ScoreRecord], clusters: Mapping[str, str] | None = None) -> list[SummaryRow]:
    """Aggregate scores: one row for each protocol, probe kind and metric; protocols and metrics in order of appearance.

    ``clusters`` names the cluster, such as the subject, of each case that is not independent of another one.
    """
    groups: dict[tuple[str, ProbeKind, str], list[ScoreRecord]] = defaultdict(list)
    for score in scores:
        groups[score.protocol, score.kind, score.metric].append(score)
    protocols = list(dict.fromkeys(protocol for protocol, _, _ in groups))
    ordered = sorted(groups, key=lambda key: (protocols.index(key[0]), PROBE_KINDS.index(key[1])))
    return [_row(*key, groups[key], clusters or {}) for key in ordered]


def by_nearness(cases: Sequence[CaseRecord], scores: Iterable[ScoreRecord]) -> dict[Nearness, list[SummaryRow]]:
    """Return the rows for the probes of hard locality of each sort; only for the sorts that the run has."""
    sorts = {(case.case, p.protocol, p.probe): p.nearness for case in cases for p in case.probes if p.nearness}
    clusters = subjects(cases)
    groups: dict[Nearness, list[ScoreRecord]] = {nearness: [] for nearness in NEARNESSES}
    for score in scores:
        nearness = sorts.get((score.case, score.protocol, score.probe))
        if nearness is not None:
            groups[nearness].append(score)
    return {nearness: summarise(group, clusters) for nearness, group in groups.items() if group}


def _row(
    protocol: str, kind: ProbeKind, metric: str, rows: Sequence[ScoreRecord], clusters: Mapping[str, str]
) -> SummaryRow:
    scored = [row for row in rows if row.after is not None]
    refused = sum(row.after_reason == REFUSED for row in rows)
    after = case_means((row.case, row.after) for row in scored)
    before = case_means((row.case, row.before) for row in scored)
    of_cases = cluster_names(after, clusters)
    found = interval(list(after.values()), of_cases) if after else NO_INTERVAL
    return SummaryRow(
        protocol=protocol,
        kind=kind,
        metric=metric,
        before=fmean(before.values()) if before else None,
        after=fmean(after.values()) if after else None,
        low=found.low,
        high=found.high,
        interval=found.method,
        cases=len(after),
        clusters=len(set(of_cases)),
        scored=len(scored),
        unscored=len(rows) - len(scored) - refused,
        refused=refused,
    )
