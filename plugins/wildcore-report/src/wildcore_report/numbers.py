"""The numbers of one run that a report shows, computed in one reading of its files."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean

from wildcore import UserError
from wildcore.datasets.relations import relation_of
from wildcore.defaults import SYNTHETIC, WILD
from wildcore.records.continuations import after_the_answer, reply_in
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, JudgingPointRecord, Manifest, ScoreRecord
from wildcore.reporting.console import printable
from wildcore.scoring import SummaryRow, summarise, synthetic_minus_wild
from wildcore.scoring.paired import PairedDifference
from wildcore.scoring.retention import (
    Collapse,
    RetentionMatrix,
    RetentionPoint,
    collapse,
    retention,
    retention_matrices,
)
from wildcore.scoring.scores import REFUSED
from wildcore.types import NEARNESSES, Nearness
from wildcore_report.agreement import PairAgreement, agreements
from wildcore_report.extra import Continued, ExtraContent, extra_contents
from wildcore_report.finding import FoundRun
from wildcore_report.module_costs import ModuleCost, module_costs
from wildcore_report.slices import CaseFacts, Slice, slices

CaseScores = Mapping[tuple[str, int | None], Sequence[ScoreRecord]]
Take = Callable[[CaseRecord, Sequence[ScoreRecord]], None]

EXAMPLE_CHARACTERS = 200
"""Most characters of the example of an answer that went on; the case has it whole."""


@dataclass
class RunNumbers:
    """What a run measured, by subject. ``done`` counts the cases evaluated so far, ``records`` the case records."""

    folder: RunFolder
    manifest: Manifest
    finished: bool
    notes: list[str]
    done: int = 0
    records: int = 0
    rows: list[SummaryRow] = field(default_factory=list)
    gap: PairedDifference | None = None
    by_nearness: dict[Nearness, list[SummaryRow]] = field(default_factory=dict)
    costs: list[ModuleCost] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    small_groups: dict[str, int] = field(default_factory=dict)
    points: list[RetentionPoint] = field(default_factory=list)
    matrices: list[RetentionMatrix] = field(default_factory=list)
    model_points: list[JudgingPointRecord] = field(default_factory=list)
    collapse: Collapse | None = None
    extra: list[ExtraContent] = field(default_factory=list)
    continued: list[Continued] = field(default_factory=list)
    agreements: list[PairAgreement] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    not_written: Counter[str] = field(default_factory=Counter)
    diverged: int = 0
    seconds_per_edit: float | None = None
    unscored: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_worked: str = ""
    later_notes: list[str] = field(default_factory=list)

    def reliability(self) -> dict[str, SummaryRow]:
        """Return the row of reliability under each protocol by its first metric."""
        found: dict[str, SummaryRow] = {}
        for row in self.rows:
            if row.kind == "reliability":
                found.setdefault(row.protocol, row)
        return found

    def main_protocols(self) -> list[str]:
        """Return the two published protocols as far as the run has them, or else the first two that it has."""
        known = list(dict.fromkeys(row.protocol for row in self.rows))
        return [name for name in (SYNTHETIC, WILD) if name in known] or known[:2]


def read_numbers(run: FoundRun, take: Take) -> RunNumbers:
    """Read a run once, give each case record with its scores to ``take``, and return the numbers.

    Raises ``UserError`` for a damaged line. If the run is not read strictly, the rest of that file is left out, which is noted.
    """
    folder = run.folder
    numbers = RunNumbers(folder, folder.manifest, run.finished, list(run.notes))
    scores: dict[tuple[str, int | None], list[ScoreRecord]] = defaultdict(list)
    with _noted(numbers, run.strict):
        for score in folder.all_scores():
            scores[score.case, score.after_edits].append(score)
    reading = _Reading(numbers, scores)
    with _noted(numbers, run.strict):
        for record in folder.records():
            own = scores.get((record.case, record.after_edits), ())
            take(record, own)
            reading.take(record, own)
    reading.finish()
    with _noted(numbers, run.strict):
        read_points(numbers, several=len({after for _, after in scores}) > 1)
    with _noted(numbers, run.strict):
        read_work(numbers)
    return numbers


@contextmanager
def _noted(numbers: RunNumbers, strict: bool) -> Iterator[None]:
    """Turn a ``UserError`` in this context into a note, unless ``strict``."""
    try:
        yield
    except UserError as error:
        if strict:
            raise
        numbers.notes.append(printable(f"not read to the end: {error}"))


class _Reading:
    """Collects from case records what the numbers need, so that no record is kept."""

    def __init__(self, numbers: RunNumbers, scores: CaseScores) -> None:
        self.numbers, self.scores = numbers, scores
        self.facts: dict[str, CaseFacts] = {}
        self.nearness: dict[tuple[str, str, int], Nearness] = {}
        self.seconds: dict[str, float] = {}

    def take(self, record: CaseRecord, scores: Sequence[ScoreRecord]) -> None:
        """Collect from a record, and forget what an earlier judging point said about its case."""
        self.numbers.records += 1
        known = self.facts.get(record.case)
        if known is not None and (known.after_edits or 0) > (record.after_edits or 0):
            return
        self.facts[record.case] = facts_of(record, scores)
        self.nearness.update(
            {(record.case, probe.protocol, probe.probe): probe.nearness for probe in record.probes if probe.nearness}
        )

    def finish(self) -> None:
        """Compute the numbers."""
        numbers, facts = self.numbers, self.facts
        last = [score for (case, after), own in self.scores.items() if self._is_last(case, after) for score in own]
        clusters = shared_subjects(facts.values())
        numbers.done = len(facts)
        numbers.rows = summarise(last, clusters)
        numbers.gap = synthetic_minus_wild(last, clusters)
        numbers.by_nearness = self._by_nearness(last, clusters)
        numbers.costs = module_costs(numbers.manifest, last, clusters)
        numbers.slices, numbers.small_groups = slices(list(facts.values()), last, clusters, numbers.main_protocols())
        numbers.extra = extra_contents(last)
        numbers.continued = continued(facts.values(), last)
        numbers.agreements = agreements(last)
        numbers.unscored = Counter(
            (score.metric, score.after_reason or "")
            for score in last
            if score.after is None and score.after_reason != REFUSED
        )
        self._count_edits()

    def _is_last(self, case: str, after_edits: int | None) -> bool:
        return case in self.facts and self.facts[case].after_edits == after_edits

    def _by_nearness(
        self, scores: Iterable[ScoreRecord], clusters: Mapping[str, str]
    ) -> dict[Nearness, list[SummaryRow]]:
        groups: dict[Nearness, list[ScoreRecord]] = defaultdict(list)
        if self.nearness:
            for score in scores:
                nearness = self.nearness.get((score.case, score.protocol, score.probe))
                if nearness:
                    groups[nearness].append(score)
        return {nearness: summarise(groups[nearness], clusters) for nearness in NEARNESSES if nearness in groups}

    def _count_edits(self) -> None:
        numbers = self.numbers
        for case in self.facts.values():
            if case.status == "refused":
                numbers.refused[case.reason or "no reason given"] += 1
            elif case.reason:
                numbers.not_written[case.reason] += 1
            numbers.diverged += case.diverged
        seconds = [case.seconds for case in self.facts.values() if case.status == "edited"]
        numbers.seconds_per_edit = fmean(seconds) if seconds else None


def read_points(numbers: RunNumbers, several: bool) -> None:
    """Read what was measured at judging points, and the scores there if there are ``several``."""
    folder = numbers.folder
    numbers.model_points = sorted(folder.points(), key=lambda point: point.after_edits)
    numbers.collapse = collapse(numbers.model_points)
    if several:
        numbers.points = retention(folder)
        numbers.matrices = retention_matrices(folder)


def facts_of(record: CaseRecord, scores: Sequence[ScoreRecord]) -> CaseFacts:
    """Return what the numbers need of a case record."""
    first = next((probe for probe in record.probes if probe.kind == "reliability"), None)
    held = {(score.protocol, score.probe, score.metric) for score in scores if score.after == 1}
    request, edit = record.request, record.edit
    relation = record.tags.get("relation") or relation_of(request.prompt, request.subject)
    return CaseFacts(
        case=record.case,
        after_edits=record.after_edits,
        subject=request.subject,
        tags=record.tags,
        relation=relation,
        tokens=len(first.gold_token_ids) if first else 0,
        status=edit.status,
        reason=edit.reason,
        seconds=edit.seconds,
        diverged=edit.patch is not None and edit.patch.get("finite") is False,
        followed={
            (probe.protocol, probe.probe): (
                after_the_answer(probe)[0],
                reply_in(probe.continued or probe.after[0].output, probe.after[0]).strip()[:EXAMPLE_CHARACTERS],
            )
            for probe in record.probes
            if probe.kind == "reliability"
            and len(probe.after) == 1
            and any(key[:2] == (probe.protocol, probe.probe) for key in held)
        },
    )


def continued(facts: Iterable[CaseFacts], scores: Iterable[ScoreRecord]) -> list[Continued]:
    """Return for each protocol what followed the answers to edit prompts that its first metric scores 1."""
    first: dict[str, str] = {}
    held: dict[str, list[tuple[str, int]]] = {}
    for score in scores:
        if score.kind == "reliability" and first.setdefault(score.protocol, score.metric) == score.metric:
            held.setdefault(score.protocol, [])
            if score.after == 1:
                held[score.protocol].append((score.case, score.probe))
    followed = {one.case: one.followed for one in facts}
    rows = []
    for protocol, places in held.items():
        seen = [followed.get(case, {}).get((protocol, probe), ("unknown", "")) for case, probe in places]
        if seen:
            rows.append(Continued.counted(protocol, first[protocol], seen))
    return rows


def shared_subjects(facts: Iterable[CaseFacts]) -> dict[str, str]:
    """Return the subject of each case that shares it with another one, as ``wildcore.scoring.subjects`` does for records."""
    found = {one.case: one.subject.strip().casefold() for one in facts if one.subject}
    counts = Counter(found.values())
    return {case: subject for case, subject in found.items() if counts[subject] > 1}


def read_work(numbers: RunNumbers) -> None:
    """Read when the run was last worked on, as far as it says so, and the notes of each call."""
    numbers.last_worked = numbers.manifest.created
    for work in numbers.folder.work():
        numbers.last_worked = max(numbers.last_worked, work.ended)
        numbers.later_notes += work.notes
