"""The edits of a run one by one: as they are printed, and as rows for other programs."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean

from rich.console import Console
from rich.table import Table

from wildcore.records.continuations import after_the_answer
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.reporting.console import is_plain, print_line, safe_text
from wildcore.reporting.telling import first_answer
from wildcore.types import Answer, FrozenData, Nearness, ProbeKind

LONGEST = 70
LONGEST_CONTINUATION = 30


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


class _Scored(FrozenData):
    """An edit under a protocol: its mean score in each column, and its answers to the edit prompt."""

    case: str
    edit: str
    refused: str | None
    protocol: str
    values: Mapping[str, float]
    before: str
    after: str
    after_the_cut: str


def print_edits(console: Console, cases: Sequence[CaseRecord], scores: Sequence[ScoreRecord]) -> None:
    """Print each edit with its scores and its answers to the edit prompt: on a terminal in lines of at most 80 columns, in plain
    text as a table with one row for each edit and protocol.

    A column is a probe kind, by the first metric of the protocol; further metrics have their own columns.
    """
    columns, metrics = _columns(scores)
    for protocol, listed in metrics.items():
        print_line(console, f"{protocol}: " + ", ".join(f"{kind} ({metric})" for kind, metric in listed))
    console.print()
    rows = list(_scored(cases, scores, columns))
    if is_plain(console):
        _print_table(console, rows, list(dict.fromkeys(name for names in columns.values() for name in names.values())))
        return
    for _, of_case in groupby(rows, key=lambda row: row.case):
        _print_edit(console, list(of_case), {protocol: list(names.values()) for protocol, names in columns.items()})


def _print_edit(console: Console, rows: Sequence[_Scored], columns: Mapping[str, Sequence[str]]) -> None:
    print_line(console, f"{rows[0].case}: {rows[0].edit}")
    if rows[0].refused is not None:
        print_line(console, f"refused: {rows[0].refused}", 300, 2)
        return
    widest = max(len(row.protocol) for row in rows)
    for row in rows:
        values = "  ".join(_value(row.values.get(name)) for name in columns.get(row.protocol, ()))
        more = f", then {row.after_the_cut!r}" if row.after_the_cut else ""
        print_line(console, f"{row.protocol:{widest}}  {values}  {row.before} -> {row.after}{more}", None, 2, 4)


def _print_table(console: Console, rows: Sequence[_Scored], names: Sequence[str]) -> None:
    table = Table("case", "edit", "protocol")
    for name in names:
        table.add_column(safe_text(name), justify="right")
    for header in ("before", "after", "after the cut"):
        table.add_column(header)
    for row in rows:
        refused = row.refused is not None
        table.add_row(
            *map(safe_text, (row.case, row.edit, row.protocol)),
            *("refused" if refused else _value(row.values.get(name)).strip() for name in names),
            *map(safe_text, (row.before, row.after, repr(row.after_the_cut) if row.after_the_cut else "")),
        )
    console.print(table)


def _columns(
    scores: Sequence[ScoreRecord],
) -> tuple[dict[str, dict[tuple[str, str], str]], dict[str, list[tuple[str, str]]]]:
    """Return the name of the column of each probe kind and metric by protocol, and the probe kinds and metrics themselves."""
    metrics: dict[str, list[tuple[str, str]]] = {}
    for score in scores:
        of_protocol = metrics.setdefault(score.protocol, [])
        if (score.kind, score.metric) not in of_protocol:
            of_protocol.append((score.kind, score.metric))
    columns: dict[str, dict[tuple[str, str], str]] = {}
    for protocol, listed in metrics.items():
        kinds = [kind for kind, _ in listed]
        columns[protocol] = {
            (kind, metric): kind if kinds.index(kind) == number else f"{kind} ({metric})"
            for number, (kind, metric) in enumerate(listed)
        }
    return columns, metrics


def _scored(
    cases: Sequence[CaseRecord], scores: Sequence[ScoreRecord], columns: Mapping[str, Mapping[tuple[str, str], str]]
) -> Iterator[_Scored]:
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for score in scores:
        if score.after is not None:
            of_edit = values.setdefault((score.case, score.protocol), {})
            of_edit.setdefault(columns[score.protocol][score.kind, score.metric], []).append(score.after)
    for case in cases:
        asked: dict[str, ProbeRecord] = {}
        for probe in case.probes:
            if probe.kind == "reliability":
                asked.setdefault(probe.protocol, probe)
        for protocol in columns:
            found = asked.get(protocol)
            went_on, text = after_the_answer(found) if found else ("unknown", "")
            more = text[:LONGEST_CONTINUATION] if went_on == "went on" else ""
            yield _Scored(
                case=case.case,
                edit=_cut(case.request.prompt) + " -> " + _cut(case.request.target),
                refused=(case.edit.reason or "") if case.edit.status == "refused" else None,
                protocol=protocol,
                values={name: fmean(of) for name, of in values.get((case.case, protocol), {}).items()},
                before=first_answer(found, found.before) if found else "-",
                after=first_answer(found, found.after) if found else "-",
                after_the_cut=more,
            )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _value(value: float | None) -> str:
    return "   -" if value is None else f"{value:.2f}"
