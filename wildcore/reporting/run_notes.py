"""What is said of a run below its table, in sentences."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from wildcore.records.continuations import Continuation
from wildcore.records.endings import Endings
from wildcore.records.schema import CaseRecord, ScoreRecord
from wildcore.reporting.headline import p_in_words
from wildcore.reporting.numbers import number, signed, signed_interval
from wildcore.scoring.differences import ChangeByEdits
from wildcore.scoring.means import SummaryRow
from wildcore.scoring.power import DISCORDANT, smallest_detectable_before
from wildcore.scoring.scores import REFUSED
from wildcore.types import COMPARED_CAREFULLY, Nearness

REASONS = 5
"""Most reasons of unscored answers that are named."""
EXAMPLES = 3
LOST = {"empty": "leaves nothing of", "number": "makes another number of", "symbol": "removes the symbol of"}
"""What normalisation does to an accepted answer, by the value in the details of its scores."""


def refusals(cases: Sequence[CaseRecord]) -> Iterator[str]:
    """Yield why edits were refused or not written, and how many diverged."""
    refused = [case for case in cases if case.edit.status == "refused"]
    if refused:
        yield f"{len(refused)} refused; the first, case {refused[0].case}: {refused[0].edit.reason}"
    failed = [case for case in cases if case.edit.status == "edited" and case.edit.reason]
    if failed:
        yield (
            f"{len(failed)} edits were not written, and their cases were evaluated without them; the first, case "
            f"{failed[0].case}: {failed[0].edit.reason}"
        )
    diverged = [case for case in cases if case.edit.patch and case.edit.patch.get("finite") is False]
    if diverged:
        yield f"{len(diverged)} edits diverged (not finite) and were evaluated all the same; the first: {diverged[0].case}"


def unscored(scores: Sequence[ScoreRecord]) -> Iterator[str]:
    """Yield why answers have no score, the most frequent reasons first."""
    without = [score for score in scores if score.after is None and score.after_reason != REFUSED]
    reasons = Counter((score.metric, score.after_reason or "") for score in without)
    for (metric, reason), count in reasons.most_common(REASONS):
        yield f"{count} unscored by {metric}: {reason}"
    if len(reasons) > REASONS:
        yield f"... and {len(reasons) - REASONS} more reasons, in scores.jsonl"


def hard_locality(split: Mapping[Nearness, Sequence[SummaryRow]], labels: Mapping[str, str]) -> Iterator[str]:
    """Yield the mean of hard locality for each sort of its probes, if a run has any."""
    said: dict[tuple[str, str], list[str]] = {}
    for nearness, rows in split.items():
        for row in rows:
            value = f"{nearness.replace('-', ' ')} {number(row.after)} (cases: {row.cases}, probes: {row.scored})"
            said.setdefault((row.protocol, row.metric), []).append(value)
    for (protocol, metric), values in said.items():
        yield f"{_label(labels, protocol)}: hard locality by {metric}: {', '.join(values)}."


def after_the_cut(found: Sequence[Continuation], labels: Mapping[str, str]) -> Iterator[str]:
    """Yield after how many correct answers the edited model continued, if something was observed after any."""
    for one in found:
        if one.went_on or one.ended:
            shown = f", such as {one.example!r}" if one.example else ""
            unknown = f"; for {one.unknown} this is not known" if one.unknown else ""
            yield (
                f"{_label(labels, one.protocol)}: of {one.held} correct answers, {one.went_on} went on after the "
                f"cut{shown}; {one.ended} ended there{unknown}."
            )


def ends_of_answers(found: Sequence[Endings], labels: Mapping[str, str]) -> Iterator[str]:
    """Yield which protocols ended no answer by a stop, and how many answers a line break at their beginning left empty."""
    for one in found:
        protocol = _label(labels, one.protocol)
        if not one.by_a_stop:
            hint = f'; some contain "{one.other_stop}", which ends a sentence in its script' if one.other_stop else ""
            yield f"{protocol}: none of {one.answers} answers was ended by a stop of the truncator {one.truncator}{hint}."
        if one.emptied:
            yield (
                f"{protocol}: {one.emptied} of {one.answers} answers begin with a line break, which ends them, so they are "
                "empty; the truncator's parameter skip_leading_white_space skips it."
            )


def compared_carefully(scores: Sequence[ScoreRecord]) -> Iterator[str]:
    """Yield how many questions have accepted answers that a metric compared carefully, and some of these."""
    questions: dict[str, set[tuple[str, str, int]]] = {}
    golds: dict[str, dict[str, str]] = {}
    for score in scores:
        for sample in (*score.before_samples, *score.after_samples):
            if lost := sample.details.get(COMPARED_CAREFULLY):
                questions.setdefault(score.metric, set()).add((score.case, score.protocol, score.probe))
                golds.setdefault(score.metric, {}).update(lost)
    for metric, asked in questions.items():
        shown = ", ".join(f"{LOST[loss]} {gold!r}" for gold, loss in list(golds[metric].items())[:EXAMPLES])
        yield (
            f"{metric}: {len(asked)} questions were compared with signs and symbols kept, because the usual normalisation "
            f"{shown}."
        )


def changes(found: Sequence[ChangeByEdits], labels: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each number of the table that has a value before the edits: after minus before, paired by case."""
    metrics = Counter((one.protocol, one.kind) for one in found)
    for one in found:
        metric = f" ({one.metric})" if metrics[one.protocol, one.kind] > 1 else ""
        yield f"{_label(labels, one.protocol)} {one.kind}{metric}: {_change(one)}"


def _change(one: ChangeByEdits) -> str:
    paired = one.paired
    known = [
        signed_interval(paired.low, paired.high) if paired.low is not None else "",
        p_in_words(one.p_holm),
        number(paired.detectable) if paired.detectable is not None else "",
    ]
    said = "; ".join(part for part in known if part)
    return signed(paired.difference) + (f" ({said})" if said else "")


def explanation(found: Sequence[ChangeByEdits]) -> Iterator[str]:
    """Yield what the numbers of ``changes`` in brackets mean, and why some are missing."""
    if not found:
        return
    family = " or ".join(str(size) for size in sorted({one.family_size for one in found}))
    yield (
        f"In brackets: 95 % interval; p adjusted by Holm for all changes under one protocol by one probe kind ({family} here); "
        "the smallest change detectable with 80 % power at the two-sided 5 % level."
    )
    for note, count in Counter(one.paired.note for one in found if one.paired.note).items():
        yield f"{count} change{'s' if count > 1 else ''}: {note}"


def detectable(cases: int, gap: float | None) -> Iterator[str]:
    """Yield the smallest difference that this number of cases detects: from another run, and between the two protocols of a
    run whose own is ``gap`` (None: it has not both).
    """
    smallest = smallest_detectable_before(cases)
    if smallest is not None and smallest <= 1:
        yield (
            f"With {cases} cases, a difference of about {100 * smallest:.0f} points from another run can be detected "
            f"(80 % power, two-sided 5 %, if the runs disagree on {100 * DISCORDANT:.0f} % of the cases)."
        )
    if gap is not None:
        yield f"Between synthetic and wild, {100 * gap:.1f} points could be detected."


def _label(labels: Mapping[str, str], protocol: str) -> str:
    return labels.get(protocol, protocol)
