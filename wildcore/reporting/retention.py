"""The judging points of a sequence in the terminal: the retention curve, the matrix, and the signs of collapse."""

from collections.abc import Sequence
from typing import TypeVar

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from wildcore.records.schema import JudgingPointRecord
from wildcore.reporting.console import safe_text
from wildcore.scoring.means import SummaryRow
from wildcore.scoring.retention import Collapse, RetentionMatrix, RetentionPoint
from wildcore.types import Measured

T = TypeVar("T")

BAR = 8
EIGHTHS = " ▏▎▍▌▋▊▉█"
MOST_COLUMNS = 20
MOST_ROWS = 40
"""Most judging points that are printed; of more, evenly spaced ones are, and this is said."""
SUMMARY = "summary.json"
DARK, LIGHT = 235, 255
"""Greys of the 256 colours of a terminal, for reliability 0 and 1."""


def print_retention(
    console: Console, points: Sequence[RetentionPoint], matrices: Sequence[RetentionMatrix], found: Collapse | None
) -> None:
    """Print the curve, a matrix for each protocol, and from where on the model was collapsed."""
    shown = _evenly(points, MOST_ROWS)
    if not shown:
        return
    console.print()
    console.print(_curve(shown))
    if len(shown) < len(points):
        console.print(f"{len(shown)} of {len(points)} judging points are shown; all are in {SUMMARY}.")
    for matrix in matrices:
        if len(matrix.after_edits) > 2:
            _print_matrix(console, matrix)
    if found:
        _print_collapse(console, found)
    console.print()


def _curve(points: Sequence[RetentionPoint]) -> Table:
    """Return the table of judging points: a bar of reliability for each protocol, locality, and what was measured."""
    rows = [_first_metrics(point.cells) for point in points]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    numbers = _numbers(points)
    table = Table("edits", box=None, header_style="bold")
    for protocol, kind in keys:
        table.add_column(Text("\n").join([safe_text(protocol), safe_text(kind)]))
    for name in numbers:
        table.add_column(safe_text(name), justify="right")
    moved = any(point.model and point.model.weights for point in points)
    if moved:
        table.add_column("change of\nweights", justify="right")
    for point, row in zip(points, rows, strict=True):
        unedited = point.after_edits == 0
        table.add_row(
            "none" if unedited else str(point.after_edits),
            *(_before(rows[-1].get(key)) if unedited else _after(row.get(key), key) for key in keys),
            *(_number(point.model, name) for name in numbers),
            *((_change(point.model),) if moved else ()),
        )
    return table


def _first_metrics(cells: Sequence[SummaryRow]) -> dict[tuple[str, str], SummaryRow]:
    """Return the rows of reliability and locality by the first metric of each protocol, by protocol and probe kind."""
    found: dict[tuple[str, str], SummaryRow] = {}
    for row in cells:
        if row.kind in ("reliability", "locality", "hard-locality"):
            found.setdefault((row.protocol, row.kind), row)
    return found


def _numbers(points: Sequence[RetentionPoint]) -> list[str]:
    """Return the names of the measured numbers, in order of appearance."""
    measured = [one for point in points if point.model for of in point.model.measured.values() for one in of]
    return list(dict.fromkeys(one.name for one in measured))


def _before(row: SummaryRow | None) -> Text:
    """Return the score of the unedited model."""
    return _bar(row.before) if row and row.before is not None else Text("-")


def _after(row: SummaryRow | None, key: tuple[str, str]) -> Text:
    if row is None or row.after is None:
        return Text("-")
    return _bar(row.after) if key[1] == "reliability" else Text(f"{row.after:.3f}")


def _bar(value: float) -> Text:
    """Return a value with a bar of its length."""
    eighths = round(8 * BAR * min(1.0, max(0.0, value)))
    bar = EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    return Text(f"{value:.3f} {bar}")


def _number(model: JudgingPointRecord | None, name: str) -> str:
    found: Measured | None = next(
        (one for of in (model.measured.values() if model else ()) for one in of if one.name == name), None
    )
    if found is None:
        return "-"
    return "none" if found.value is None else f"{found.value:.4g}"


def _change(model: JudgingPointRecord | None) -> str:
    """Return the largest change of a weight relative to the original."""
    if model is None or not model.weights:
        return "-"
    changes = [weight.change for weight in model.weights]
    known = [change for change in changes if change is not None]
    return f"{max(known):.3f}" if len(known) == len(changes) else "not finite"


def _print_matrix(console: Console, matrix: RetentionMatrix) -> None:
    """Print a matrix, each cell on a grey of its value."""
    chosen = _evenly(range(len(matrix.after_edits)), MOST_COLUMNS)
    table = Table("edits", title=safe_text(f"Reliability under {matrix.protocol} ({matrix.metric})"), box=None)
    for column in chosen:
        table.add_column(f"after {matrix.after_edits[column]}", justify="right")
    for row in chosen:
        first, last = matrix.groups[row]
        cells = [_shaded(matrix.values[row][column]) for column in chosen]
        table.add_row(str(first) if first == last else f"{first} to {last}", *cells)
    console.print()
    console.print(table)
    if len(chosen) < len(matrix.after_edits):
        console.print(f"{len(chosen)} of {len(matrix.after_edits)} judging points are shown; all are in {SUMMARY}.")


def _shaded(value: float | None) -> Text:
    if value is None:
        return Text("")
    grey = round(DARK + (LIGHT - DARK) * min(1.0, max(0.0, value)))
    style = Style(color="color(16)" if grey > (DARK + LIGHT) // 2 else "color(255)", bgcolor=f"color({grey})")
    return Text(f" {value:.2f} ", style)


def _print_collapse(console: Console, found: Collapse) -> None:
    since = "from" if found.lasting else "only at the judging point"
    on = " on" if found.lasting else ""
    stopped = "; the sequence was stopped there" if found.stopped else ""
    console.print(
        safe_text(
            f"The model has collapsed {since} {found.after_edits} edits{on}: {'; '.join(found.signs)}{stopped}.", 400
        )
    )


def _evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most ``most`` of ``items``, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
