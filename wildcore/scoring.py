"""Scores of recorded answers, and what they add up to."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from wildcore.interfaces import Metric
from wildcore.protocols import ReadyProtocol
from wildcore.records import CaseRecord, ProbeRecord, RunFolder, ScoreRecord
from wildcore.types import PROBE_KINDS, Answer, AnsweredProbe, ProbeKind, Record, Score

REFUSED = "refused"
NORMAL_95 = 1.959963984540054


class Cell(Record):
    """One number of the table: a probe kind under a protocol by a metric.

    A case's value is the mean over its probes of that kind; ``after`` is the mean over cases with its 95 % Wilson interval
    (exact in kind for 0/1 values, conservative for ratios). ``before`` is over the same cases.
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


def score_run(folder: RunFolder, protocols: Sequence[ReadyProtocol]) -> list[ScoreRecord]:
    """Score every recorded answer and write the scores. Needs no model."""
    by_name = {protocol.name: protocol for protocol in protocols}
    scores = [score for record in folder.cases() for score in score_case(record, by_name)]
    folder.write_scores(scores)
    return scores


def score_case(record: CaseRecord, protocols: Mapping[str, ReadyProtocol]) -> Iterator[ScoreRecord]:
    """Score every probe of a case by every metric that its protocol has for its kind."""
    for protocol in protocols.values():
        for kind in PROBE_KINDS:
            probes = [p for p in record.probes if p.protocol == protocol.name and p.kind == kind]
            for label, metric in protocol.metrics.get(kind, ()):
                yield from _score_probes(record, probes, label, metric)


def _score_probes(
    record: CaseRecord, probes: Sequence[ProbeRecord], label: str, metric: Metric
) -> Iterator[ScoreRecord]:
    nothing = Score(value=None, reason="compares with the unedited model" if metric.reads_unedited else None)
    before = [nothing] * len(probes) if metric.reads_unedited else _scores(probes, metric, [p.before for p in probes])
    after = _scores(probes, metric, [p.after for p in probes], REFUSED if record.edit.status == "refused" else None)
    for probe, first, second in zip(probes, before, after, strict=True):
        yield ScoreRecord(
            case=record.case,
            protocol=probe.protocol,
            probe=probe.probe,
            kind=probe.kind,
            metric=label,
            before=first.value,
            before_reason=first.reason,
            after=second.value,
            after_reason=second.reason,
        )


def _scores(
    probes: Sequence[ProbeRecord], metric: Metric, answers: Sequence[Answer | None], missing: str | None = None
) -> list[Score]:
    items = [_item(probe, answer) for probe, answer in zip(probes, answers, strict=True)]
    scores = iter(metric.score([item for item in items if item is not None]))
    return [
        Score(value=None, reason=probe.unanswered or missing or "no answer") if item is None else next(scores)
        for probe, item in zip(probes, items, strict=True)
    ]


def _item(probe: ProbeRecord, answer: Answer | None) -> AnsweredProbe | None:
    if answer is None or probe.before is None:
        return None
    return AnsweredProbe(
        kind=probe.kind,
        question=probe.question,
        answers=probe.answers,
        gold_token_ids=probe.gold_token_ids,
        answer=answer,
        unedited=probe.before,
    )


def summary(folder: RunFolder) -> dict[str, Any]:
    """Return a scored run's sums as JSON values: what was run, the number of cases, and every cell of the table."""
    edits = [case.edit for case in folder.cases()]
    return {
        "identity": folder.manifest.identity,
        "cases": len(edits),
        "refused": sum(edit.status == "refused" for edit in edits),
        "diverged": sum(edit.patch is not None and edit.patch.get("finite") is False for edit in edits),
        "seconds_per_edit": fmean([edit.seconds for edit in edits]) if edits else None,
        "cells": [cell.model_dump() for cell in summarise(folder.scores())],
    }


def summarise(scores: Iterable[ScoreRecord]) -> list[Cell]:
    """Add scores up: one cell for each protocol, probe kind and metric; protocols and metrics in the order they appear."""
    groups: dict[tuple[str, ProbeKind, str], list[ScoreRecord]] = defaultdict(list)
    for score in scores:
        groups[score.protocol, score.kind, score.metric].append(score)
    protocols = list(dict.fromkeys(protocol for protocol, _, _ in groups))
    ordered = sorted(groups, key=lambda key: (protocols.index(key[0]), PROBE_KINDS.index(key[1])))
    return [_cell(*key, groups[key]) for key in ordered]


def _cell(protocol: str, kind: ProbeKind, metric: str, rows: Sequence[ScoreRecord]) -> Cell:
    scored = [row for row in rows if row.after is not None]
    refused = sum(row.after_reason == REFUSED for row in rows)
    after = _case_means((row.case, row.after) for row in scored)
    before = _case_means((row.case, row.before) for row in scored)
    low, high = wilson(fmean(after), len(after)) if after else (None, None)
    return Cell(
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


def wilson(mean: float, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval (Wilson 1927) of a proportion ``mean`` over ``count`` independent cases."""
    z = NORMAL_95
    centre = mean + z * z / (2 * count)
    spread = z * sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
