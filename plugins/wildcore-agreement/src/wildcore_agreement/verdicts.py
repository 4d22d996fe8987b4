"""How far two metrics, or two judges, agree on the answers of a run."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from wildcore import FrozenData, Option, ProbeKind, Score, UserError, suggestion
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.scoring import Kappa, kappa
from wildcore.scoring.intervals import wilson

When = Literal["before", "after"]

SHEET_COLUMNS = ("question", "gold", "answer", "label")


class AnswerFilter(FrozenData):
    """Which answers of a run to compare. ``protocol`` None: all."""

    kinds: tuple[ProbeKind, ...]
    whens: tuple[When, ...]
    protocol: str | None = None


class JudgedAnswer(FrozenData):
    """One answer of a run, and its place. ``sample`` counts from 0 if a probe was answered several times."""

    case: str
    protocol: str
    kind: ProbeKind
    probe: int
    when: When
    sample: int
    question: str
    gold: str
    answer: str


class Difference(FrozenData):
    """An answer that one metric scored as correct and the other did not."""

    said: JudgedAnswer
    first: Score
    second: Score


class Agreement(FrozenData):
    """Two metrics on the answers that both scored.

    ``table`` counts them by verdict: rows correct and incorrect by the first metric, columns by the second. ``both`` is the
    number of these answers, ``differ`` that of those on which the verdicts differ. ``observed`` is the share of equal verdicts,
    ``low`` and ``high`` its 95 % Wilson interval. ``only_first`` and ``only_second`` count answers that the other did not score,
    with its reasons; ``neither`` counts those that neither could score. ``graded`` counts each metric's scores between 0 and 1,
    which are correct from ``threshold`` on. ``distinct`` counts answers that differ in question, gold or text: the intervals
    assume independent answers, and a text that is scored twice is not independent. ``differing`` are the first answers on which
    the verdicts differ.
    """

    first: str
    second: str
    threshold: float
    table: tuple[tuple[int, int], tuple[int, int]]
    both: int
    differ: int
    observed: float | None
    low: float | None
    high: float | None
    kappa: Kappa
    only_first: Mapping[str, int]
    only_second: Mapping[str, int]
    neither: int
    graded: tuple[int, int]
    distinct: int
    differing: tuple[Difference, ...]


def metrics_of(folder: RunFolder) -> dict[str, float | None]:
    """Return the labels of the metrics that a run was scored by, in order of appearance.

    Each has a value of the metric outside 0 (incorrect) to 1 (correct), which is not a verdict; None: there is no such value.
    """
    found: dict[str, float | None] = {}
    for score in folder.scores():
        known = found.setdefault(score.metric, None)
        if known is None:
            found[score.metric] = next((value for value in _values(score) if not 0 <= value <= 1), None)
    return found


def find_label(labels: Sequence[str], name: str) -> str:
    """Return the label equal to ``name``, or the only one that begins with it. Raises ``UserError`` if there is none."""
    fitting = [name] if name in labels else [label for label in labels if label.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"several metrics of this run begin so: {'; '.join(fitting)}", about=Option("metrics", name))
    raise UserError("no such scores in this run", Option("metrics", name), suggestion(name, list(labels)))


def agreements(
    folder: RunFolder, labels: Sequence[str], chosen: AnswerFilter, threshold: float, shown: int
) -> list[Agreement]:
    """Compare each pair of ``labels`` on the ``chosen`` answers; keep the first ``shown`` on which they differ.

    The metrics' values must be verdicts.
    """
    scores = {(s.case, s.protocol, s.probe, s.metric): s for s in folder.scores() if s.metric in labels}
    tallies = [_Tally(pair, threshold, shown) for pair in combinations(labels, 2)]
    for said in answers(folder, chosen):
        for tally in tallies:
            tally.take(said, *(score_of(scores.get(score_place(said, label)), said) for label in tally.pair))
    return [tally.agreement() for tally in tallies]


def answers(folder: RunFolder, chosen: AnswerFilter) -> Iterator[JudgedAnswer]:
    """Yield the chosen answers of a run."""
    for case in folder.cases():
        for probe in case.probes:
            if probe.kind in chosen.kinds and chosen.protocol in (None, probe.protocol):
                for when in chosen.whens:
                    yield from _said(case, probe, when)


def labelling_sheet(said: Iterator[JudgedAnswer]) -> tuple[str, int]:
    """Return answers as a CSV to be labelled by a person, and its number of rows.

    The columns are question, gold, answer and label; label is empty. Each combination of question, gold and answer occurs
    once.
    """
    rows = dict.fromkeys(_content(one) for one in said)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(SHEET_COLUMNS)
    writer.writerows((*row, "") for row in rows)
    return stream.getvalue(), len(rows)


@dataclass
class _Tally:
    """Counts of the verdicts of two metrics."""

    pair: tuple[str, str]
    threshold: float
    shown: int
    table: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    only_first: Counter[str] = field(default_factory=Counter)
    only_second: Counter[str] = field(default_factory=Counter)
    neither: int = 0
    graded: list[int] = field(default_factory=lambda: [0, 0])
    contents: set[tuple[str, ...]] = field(default_factory=set)
    differing: list[Difference] = field(default_factory=list)

    def take(self, said: JudgedAnswer, first: Score | None, second: Score | None) -> None:
        """Count one more answer. None: the metric was not meant to score it."""
        if first is not None and first.value is not None and second is not None and second.value is not None:
            self._compare(said, first, second, (first.value, second.value))
        elif first is not None and first.value is not None:
            self.only_first[_why_not(second)] += 1
        elif second is not None and second.value is not None:
            self.only_second[_why_not(first)] += 1
        elif first is not None and second is not None:
            self.neither += 1

    def _compare(self, said: JudgedAnswer, first: Score, second: Score, values: tuple[float, float]) -> None:
        for place, value in enumerate(values):
            self.graded[place] += 0 < value < 1
        verdicts = (values[0] >= self.threshold, values[1] >= self.threshold)
        self.table[verdicts] += 1
        self.contents.add(_content(said))
        if verdicts[0] != verdicts[1] and len(self.differing) < self.shown:
            self.differing.append(Difference(said=said, first=first, second=second))

    def agreement(self) -> Agreement:
        """Return the result."""
        correct, incorrect = (
            (self.table[is_correct, True], self.table[is_correct, False]) for is_correct in (True, False)
        )
        both = self.table.total()
        observed = (correct[0] + incorrect[1]) / both if both else None
        low, high = (None, None) if observed is None else wilson(observed, both)
        return Agreement(
            first=self.pair[0],
            second=self.pair[1],
            threshold=self.threshold,
            table=(correct, incorrect),
            both=both,
            differ=correct[1] + incorrect[0],
            observed=observed,
            low=low,
            high=high,
            kappa=kappa((correct, incorrect)),
            only_first=self.only_first,
            only_second=self.only_second,
            neither=self.neither,
            graded=(self.graded[0], self.graded[1]),
            distinct=len(self.contents),
            differing=tuple(self.differing),
        )


def _values(score: ScoreRecord) -> list[float]:
    samples = [sample.value for sample in (*score.before_samples, *score.after_samples)]
    return [value for value in (score.before, score.after, *samples) if value is not None]


def _said(case: CaseRecord, probe: ProbeRecord, when: When) -> Iterator[JudgedAnswer]:
    for sample, answer in enumerate(probe.before if when == "before" else probe.after):
        yield JudgedAnswer(
            case=case.case,
            protocol=probe.protocol,
            kind=probe.kind,
            probe=probe.probe,
            when=when,
            sample=sample,
            question=probe.question,
            gold=probe.answers[0],
            answer=answer.text,
        )


def _content(said: JudgedAnswer) -> tuple[str, str, str]:
    return said.question.strip(), said.gold.strip(), said.answer.strip()


def score_place(said: JudgedAnswer, label: str) -> tuple[str, str, int, str]:
    """Return what identifies the score of an answer by the metric ``label``: case, protocol, probe and metric."""
    return (said.case, said.protocol, said.probe, label)


def score_of(record: ScoreRecord | None, said: JudgedAnswer) -> Score | None:
    """Return the score of one answer. The scores of samples are recorded if there are several samples, or details to keep."""
    if record is None:
        return None
    samples = record.before_samples if said.when == "before" else record.after_samples
    if samples:
        return samples[said.sample] if said.sample < len(samples) else None
    value, reason = (
        (record.before, record.before_reason) if said.when == "before" else (record.after, record.after_reason)
    )
    return Score(value=value, reason=reason)


def _why_not(score: Score | None) -> str:
    return "not among what it scores" if score is None else score.reason or "no value"
