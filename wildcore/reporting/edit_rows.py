"""The edits of a run as rows for other programs."""

from collections.abc import Iterator, Mapping, Sequence

from wildcore.json_documents import JsonDocument
from wildcore.records.continuations import after_the_answer
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.types import Answer, FrozenData, Nearness, ProbeKind


class ProbeScore(FrozenData):
    """The score of an answer by one metric before the edit and after it; a reason where there is none."""

    before: float | None
    after: float | None
    before_reason: str | None
    after_reason: str | None


class EditRow(FrozenData):
    """One edit and one question asked about it under one protocol.

    ``edit`` says whether the edit was made or refused, ``reason`` why nothing was written. ``gold`` is the right answer,
    ``accepted`` all that count as right. ``before`` and ``after`` are the answers, the first of ``samples``; None: there is no
    answer, because of ``unanswered`` or because the edit was refused. ``after_the_cut`` is what followed the edited model's
    answer. ``scores`` are by metric. An edit without any question has one row, without a protocol.
    """

    case: str
    after_edits: int | None
    prompt: str
    target: str
    subject: str | None
    edit: str
    reason: str | None
    protocol: str | None = None
    kind: ProbeKind | None = None
    nearness: Nearness | None = None
    probe: int | None = None
    question: str | None = None
    gold: str | None = None
    accepted: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None
    samples: int = 0
    unanswered: str | None = None
    after_the_cut: str | None = None
    scores: Mapping[str, ProbeScore] = {}


class RunEdits(FrozenData):
    """The edits of the run in the folder ``run``, one row for each edit, protocol and probe."""

    run: str
    edits: tuple[EditRow, ...]


RUN_EDITS = JsonDocument("edits", 1, "wildcore.reporting.edit_rows:RunEdits")


def edit_rows(cases: Sequence[CaseRecord], scores: Sequence[ScoreRecord]) -> Iterator[EditRow]:
    """Yield a row for each edit, protocol and probe, in the order of the run."""
    of_probe: dict[tuple[str, str, int], dict[str, ProbeScore]] = {}
    for score in scores:
        of_probe.setdefault((score.case, score.protocol, score.probe), {})[score.metric] = ProbeScore(
            before=score.before,
            after=score.after,
            before_reason=score.before_reason,
            after_reason=score.after_reason,
        )
    for case in cases:
        of_edit = EditRow(
            case=case.case,
            after_edits=case.after_edits,
            prompt=case.request.prompt,
            target=case.request.target,
            subject=case.request.subject,
            edit=case.edit.status,
            reason=case.edit.reason,
        )
        if not case.probes:
            yield of_edit
        for probe in case.probes:
            found = of_probe.get((case.case, probe.protocol, probe.probe), {})
            yield of_edit.model_copy(update={**_asked(probe), "scores": found})


def _asked(probe: ProbeRecord) -> dict[str, object]:
    return {
        "protocol": probe.protocol,
        "kind": probe.kind,
        "nearness": probe.nearness,
        "probe": probe.probe,
        "question": probe.question,
        "gold": probe.answers[0] if probe.answers else None,
        "accepted": probe.answers,
        "before": _first(probe.before),
        "after": _first(probe.after),
        "samples": max(len(probe.before), len(probe.after)),
        "unanswered": probe.unanswered,
        "after_the_cut": after_the_answer(probe)[1] or None,
    }


def _first(answers: Sequence[Answer]) -> str | None:
    return answers[0].text if answers else None
