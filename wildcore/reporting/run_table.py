"""The table of a run: one row for each protocol, probe kind and metric."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby, zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wildcore.reporting.console import WIDTH_OF_PROSE, is_plain, print_line, printable
from wildcore.reporting.numbers import interval_of, number
from wildcore.reporting.plain import BETWEEN, aligned
from wildcore.scoring.means import SummaryRow
from wildcore.types import EvalProtocol

KEY = ("protocol", "probe", "metric")
NUMBERS = ("before", "after", "95 % interval", "n")
COUNTS = ("unscored", "refused")
METRIC = KEY.index("metric") - 1
"""The column of the metric on a terminal, where a protocol is a line of its own."""
INDENT = 2
NARROWEST_METRIC = 8


def columns_of(rows: Sequence[SummaryRow]) -> tuple[str, ...]:
    """Return the columns of the table. Unscored answers and refused edits have a column where there are any."""
    return (*KEY, *NUMBERS, *(count for count in COUNTS if any(getattr(row, count) for row in rows)))


def cells_of(row: SummaryRow, columns: Sequence[str]) -> list[str]:
    """Return the cells of a row for the ``columns`` of the table. ``n`` is the number of cases."""
    cells = {
        "protocol": row.protocol,
        "probe": row.kind,
        "metric": row.metric,
        "before": number(row.before),
        "after": number(row.after),
        "95 % interval": interval_of(row.low, row.high),
        "n": str(row.cases),
        "unscored": str(row.unscored),
        "refused": str(row.refused),
    }
    return [cells[column] for column in columns]


def print_table(console: Console, rows: Sequence[SummaryRow], labels: Mapping[str, str] | None = None) -> None:
    """Print the table of a run.

    Plain text has one row for each number, with the protocol's whole name. On a terminal the table has at most 80 columns: each
    protocol, by its name in ``labels``, is a line above its rows, and a long metric is continued in the next line.
    """
    columns = columns_of(rows)
    if is_plain(console):
        table = Table(*columns[: len(KEY)])
        for column in columns[len(KEY) :]:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in cells_of(row, columns)))
        console.print(table)
        return
    cells = [[printable(cell) for cell in cells_of(row, columns)] for row in rows]
    lines = _narrow([list(columns[1:]), *(row[1:] for row in cells)], min(WIDTH_OF_PROSE, console.width))
    _print(console, Text(lines[0][0], "bold"))
    numbered = zip((row.protocol for row in rows), lines[1:], strict=True)
    for protocol, of_protocol in groupby(numbered, key=lambda pair: pair[0]):
        print_line(console, (labels or {}).get(protocol, protocol))
        for _, of_row in of_protocol:
            for line in of_row:
                _print(console, Text(line))


def labels_of(protocols: Sequence[EvalProtocol]) -> dict[str, str]:
    """Return a short name for each of a run's protocols: its own, or for a variant, of which protocol it is one."""
    origins = [protocol.variant_of for protocol in protocols]
    return {
        one.name: f"variant of {one.variant_of}" if one.variant_of and origins.count(one.variant_of) == 1 else one.name
        for one in protocols
    }


def folded(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` characters, broken after hyphens and spaces where possible."""
    lines = [""]
    for piece in re.findall(rf"[^- ]{{1,{width}}}[- ]?|[- ]", text):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def _narrow(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return the lines of each row, the column of the metric, then the gaps as narrow as ``width`` demands."""
    widest = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    others = INDENT + sum(widest) - widest[METRIC]
    gaps = len(widest) - 1
    between = BETWEEN if width - others - gaps * len(BETWEEN) >= min(NARROWEST_METRIC, widest[METRIC]) else " "
    room = max(NARROWEST_METRIC, width - others - gaps * len(between))
    parts = [
        list(zip_longest(*([cell] if n != METRIC else folded(cell, room) for n, cell in enumerate(row)), fillvalue=""))
        for row in rows
    ]
    right = [number > METRIC for number in range(len(widest))]
    lines = aligned([line for of_row in parts for line in of_row], right, between)
    return [[" " * INDENT + next(lines) for _ in of_row] for of_row in parts]


def _print(console: Console, line: Text) -> None:
    console.print(line, soft_wrap=True)
