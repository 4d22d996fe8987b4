"""The edits of a run one by one, as they are printed."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean

from rich.console import Console
from rich.table import Table

from wildcore.records.continuations import after_the_answer
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.reporting.console import is_plain, print_line, safe_text
from wildcore.reporting.telling import first_answer
from wildcore.types import FrozenData

LONGEST = 70
LONGEST_CONTINUATION = 30
NO_PROTOCOL = "-"
"""Stands for the protocols of a run without scores, so that its edits are listed all the same."""


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


def print_edits(
    console: Console, cases: Sequence[CaseRecord], scores: Sequence[ScoreRecord], labels: Mapping[str, str]
) -> None:
    """Print each edit with its scores and its answers to the edit prompt: on a terminal in lines of at most 80 columns, with the
    protocols by their names in ``labels``, in plain text as a table with one row for each edit and protocol.

    A column is a probe kind, by the first metric of the protocol; further metrics have their own columns.
    """
    columns, metrics = _columns(scores)
    shown = {} if is_plain(console) else labels
    for protocol, listed in metrics.items():
        print_line(
            console, f"{shown.get(protocol, protocol)}: " + ", ".join(f"{kind} ({metric})" for kind, metric in listed)
        )
    console.print()
    rows = list(_scored(cases, scores, columns))
    if is_plain(console):
        _print_table(console, rows, list(dict.fromkeys(name for names in columns.values() for name in names.values())))
        return
    for _, of_case in groupby(rows, key=lambda row: row.case):
        _print_edit(console, list(of_case), {one: list(names.values()) for one, names in columns.items()}, shown)


def _print_edit(
    console: Console, rows: Sequence[_Scored], columns: Mapping[str, Sequence[str]], labels: Mapping[str, str]
) -> None:
    print_line(console, f"{rows[0].case}: {rows[0].edit}")
    if rows[0].refused is not None:
        print_line(console, f"refused: {rows[0].refused}", 300, 2)
        return
    names = [labels.get(row.protocol, row.protocol) for row in rows]
    widest = max(map(len, names))
    for row, protocol in zip(rows, names, strict=True):
        values = "  ".join(_value(row.values.get(name)) for name in columns.get(row.protocol, ()))
        more = f", then {row.after_the_cut!r}" if row.after_the_cut else ""
        print_line(console, f"{protocol:{widest}}  {values}  {row.before} -> {row.after}{more}", None, 2, 4)


def _print_table(console: Console, rows: Sequence[_Scored], names: Sequence[str]) -> None:
    table = Table("case", "edit", "protocol")
    for name in names:
        table.add_column(safe_text(name), justify="right")
    for header in ("before", "after", "after the cut"):
        table.add_column(header)
    for row in rows:
        refused = row.refused is not None
        after = safe_text(f"refused: {row.refused}", LONGEST) if refused else safe_text(row.after)
        table.add_row(
            *map(safe_text, (row.case, row.edit, row.protocol)),
            *(_value(row.values.get(name)).strip() for name in names),
            safe_text(row.before),
            after,
            safe_text(repr(row.after_the_cut) if row.after_the_cut else ""),
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
        for protocol in columns or [NO_PROTOCOL]:
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
