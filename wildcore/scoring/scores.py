"""Scores of recorded answers."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from wildcore.interfaces import Metric
from wildcore.protocols import Metrics
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.types import PROBE_KINDS, Answer, AnsweredProbe, Score

REFUSED = "refused"
COMPARES = "compares with the unedited model"


ScoreKey = tuple[str, int | None, str, int, str]
"""What identifies a score within a run: case, number of edits after which it was evaluated, protocol, probe, metric."""


@dataclass(frozen=True)
class _ScoreSlot:
    """The place of a score: a probe of a case under a protocol, by a metric recorded under ``label``."""

    record: CaseRecord
    probe: ProbeRecord
    label: str
    metric: Metric

    @property
    def key(self) -> ScoreKey:
        return (self.record.case, self.record.after_edits, self.probe.protocol, self.probe.probe, self.label)


def score_run(folder: RunFolder, metrics: Mapping[str, Metrics]) -> list[ScoreRecord]:
    """Score what a run's ``metrics`` (by protocol) have not scored yet, and write all its scores. Needs no model.

    Existing scores are kept; an answer that could not be scored is tried again.
    """
    known = {score_key(score): score for score in folder.all_scores()}
    places = [place for record in folder.records() for place in _places(record, metrics)]
    open_places = [place for place in places if (found := known.get(place.key)) is None or _needs_scoring(found)]
    scores = known | {score_key(score): score for score in _score(open_places)}
    folder.write_scores(scores.values())
    return list(scores.values())


def score_case(record: CaseRecord, metrics: Mapping[str, Metrics]) -> list[ScoreRecord]:
    """Score every probe of a case by every metric that its protocol has for the probe's kind."""
    return _score(list(_places(record, metrics)))


def score_key(score: ScoreRecord) -> ScoreKey:
    """Return what identifies a score within a run."""
    return (score.case, score.after_edits, score.protocol, score.probe, score.metric)


def _needs_scoring(score: ScoreRecord) -> bool:
    return score.after_reason not in (None, REFUSED) or score.before_reason not in (None, COMPARES)


def _places(record: CaseRecord, metrics: Mapping[str, Metrics]) -> Iterator[_ScoreSlot]:
    for protocol, by_kind in metrics.items():
        for kind in PROBE_KINDS:
            probes = [p for p in record.probes if p.protocol == protocol and p.kind == kind]
            for label, metric in by_kind.get(kind, ()):
                yield from (_ScoreSlot(record, probe, label, metric) for probe in probes)


def _score(places: Sequence[_ScoreSlot]) -> list[ScoreRecord]:
    """Score all places, calling each metric once, and return the scores in the places' order."""
    by_label: dict[str, list[_ScoreSlot]] = defaultdict(list)
    for place in places:
        by_label[place.label].append(place)
    scored = {score_key(score): score for group in by_label.values() for score in _score_by(group[0].metric, group)}
    return [scored[place.key] for place in places]


def _score_by(metric: Metric, places: Sequence[_ScoreSlot]) -> Iterator[ScoreRecord]:
    before = [() if metric.reads_unedited else _items(place.probe, place.probe.before) for place in places]
    after = [_items(place.probe, place.probe.after) for place in places]
    scores = iter(metric.score([item for items in (*before, *after) for item in items]))
    first = [tuple(islice(scores, len(items))) for items in before]
    second = [tuple(islice(scores, len(items))) for items in after]
    for place, before_samples, after_samples in zip(places, first, second, strict=True):
        yield _score_record(place, before_samples, after_samples)


def _items(probe: ProbeRecord, answers: Sequence[Answer]) -> list[AnsweredProbe]:
    asked = probe.asked
    return [
        asked.answered(answer, probe.gold_token_ids, unedited)
        for answer, unedited in zip(answers, probe.before, strict=False)
    ]


def _score_record(place: _ScoreSlot, before: tuple[Score, ...], after: tuple[Score, ...]) -> ScoreRecord:
    probe = place.probe
    nothing = probe.unanswered or "no answer"
    refused = REFUSED if place.record.edit.status == "refused" else nothing
    before_value, before_reason = mean_of_samples(before, COMPARES if place.metric.reads_unedited else nothing)
    after_value, after_reason = mean_of_samples(after, probe.unanswered or refused)
    return ScoreRecord(
        case=place.record.case,
        after_edits=place.record.after_edits,
        protocol=probe.protocol,
        probe=probe.probe,
        kind=probe.kind,
        metric=place.label,
        before=before_value,
        before_reason=before_reason,
        after=after_value,
        after_reason=after_reason,
        before_samples=before if _worth_keeping(before) else (),
        after_samples=after if _worth_keeping(after) else (),
    )


def mean_of_samples(samples: Sequence[Score], nothing: str) -> tuple[float | None, str | None]:
    """Return the mean over the samples that have a value, and why the others have none."""
    values = [sample.value for sample in samples if sample.value is not None]
    reasons = [sample.reason for sample in samples if sample.value is None]
    if not values:
        return None, reasons[0] if reasons else nothing
    return fmean(values), f"{len(reasons)} of {len(samples)} samples: {reasons[0]}" if reasons else None


def _worth_keeping(samples: Sequence[Score]) -> bool:
    return len(samples) > 1 or any(sample.details for sample in samples)
