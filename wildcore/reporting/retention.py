"""The judging points of a sequence in the terminal: the retention curve, the matrix, and the signs of collapse."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from wildcore.records.schema import JudgingPointRecord
from wildcore.reporting.console import WIDTH_OF_PROSE, is_plain, print_line, safe_text
from wildcore.scoring.means import SummaryRow
from wildcore.scoring.retention import Collapse, RetentionMatrix, RetentionPoint
from wildcore.types import Measured

T = TypeVar("T")

BAR = 8
EIGHTHS = " ▏▎▍▌▋▊▉█"
MOST_COLUMNS = 9
MOST_ROWS = 40
"""Most judging points that are printed; of more, evenly spaced ones are, and this is said."""
SUMMARY = "summary.json"
DARK, LIGHT = 235, 255
"""Greys of the 256 colours of a terminal, for reliability 0 and 1."""


@dataclass(frozen=True)
class _Column:
    """A column of the curve: the two lines of its head, and a cell for each judging point."""

    head: tuple[str, str]
    cells: Sequence[Text]
    is_right: bool = False

    @property
    def width(self) -> int:
        """Columns of the terminal that it takes, with the space beside it."""
        return 2 + max(cell_len(text) for text in (*self.head, *(cell.plain for cell in self.cells)))


def print_retention(
    console: Console, points: Sequence[RetentionPoint], matrices: Sequence[RetentionMatrix], labels: Mapping[str, str]
) -> None:
    """Print the curve, and a matrix for each protocol, by its name in ``labels``.

    Of the unedited model and one judging point only what was measured is printed, because the run's table has their scores.
    """
    if sum(bool(point.cells) for point in points) < 2 and len(points) <= 2:
        _print_measured(console, points)
        return
    shown = _evenly(points, MOST_ROWS)
    console.print()
    _print_curve(console, shown, labels)
    if len(shown) < len(points):
        console.print(f"{len(shown)} of {len(points)} judging points are shown; all are in {SUMMARY}.")
    for matrix in matrices:
        if len(matrix.after_edits) > 2:
            _print_matrix(console, matrix, labels)


def _print_measured(console: Console, points: Sequence[RetentionPoint]) -> None:
    """Print what was measured of the model at the last of ``points``, beside the first."""
    if not points:
        return
    first, last = points[0].model, points[-1].model
    said = [f"{name} {_number(last, name)} (unedited {_number(first, name)})" for name in _numbers(points)]
    if last and last.weights:
        said.append(f"largest change of a weight, by norm and relative to the original, {_change(last)}")
    if said:
        console.print()
        print_line(console, f"After {points[-1].after_edits} edits: {'; '.join(said)}.")


def _print_curve(console: Console, points: Sequence[RetentionPoint], labels: Mapping[str, str]) -> None:
    """Print a row for each judging point, in as many tables as 80 columns demand; as plain text in one."""
    edits = _Column(
        ("edits", ""), [Text("none" if point.after_edits == 0 else str(point.after_edits)) for point in points]
    )
    groups = [list(_columns(console, points, {} if is_plain(console) else labels))]
    if not is_plain(console):
        groups = _side_by_side(groups[0], WIDTH_OF_PROSE - edits.width)
    for number, columns in enumerate(groups):
        if number:
            console.print()
        table = Table(box=None, header_style="bold")
        for column in (edits, *columns):
            head = Text("\n").join(safe_text(line) for line in column.head)
            table.add_column(head, justify="right" if column.is_right else "left", no_wrap=True)
        for cells in zip(*(column.cells for column in (edits, *columns)), strict=True):
            table.add_row(*cells)
        console.print(table)


def _side_by_side(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """Return the columns in groups, each at most ``width`` wide."""
    groups: list[list[_Column]] = [[]]
    for column in columns:
        if groups[-1] and sum(one.width for one in (*groups[-1], column)) > width:
            groups.append([])
        groups[-1].append(column)
    return groups


def _columns(console: Console, points: Sequence[RetentionPoint], labels: Mapping[str, str]) -> Iterator[_Column]:
    """Yield reliability under each protocol, with a bar unless the text is plain, locality, and what was measured."""
    rows = [_first_metrics(point.cells) for point in points]
    for key in dict.fromkeys(key for row in rows for key in row):
        drawn = key[1] == "reliability" and not is_plain(console)
        values = [
            (_before(rows[-1].get(key)) if point.after_edits == 0 else _after(row.get(key)))
            for point, row in zip(points, rows, strict=True)
        ]
        yield _Column((labels.get(key[0], key[0]), key[1]), [_cell(value, drawn) for value in values])
    for name in _numbers(points):
        yield _Column((name, ""), [Text(_number(point.model, name)) for point in points], is_right=True)
    if any(point.model and point.model.weights for point in points):
        yield _Column(("change of", "weights"), [Text(_change(point.model)) for point in points], is_right=True)


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


def _before(row: SummaryRow | None) -> float | None:
    """Return the score of the unedited model."""
    return row.before if row else None


def _after(row: SummaryRow | None) -> float | None:
    return row.after if row else None


def _cell(value: float | None, drawn: bool) -> Text:
    """Return a value, if it is ``drawn`` with a bar of its length."""
    if value is None:
        return Text("-")
    eighths = round(8 * BAR * min(1.0, max(0.0, value)))
    bar = EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    return Text(f"{value:.3f} {bar}" if drawn else f"{value:.3f}")


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


def _print_matrix(console: Console, matrix: RetentionMatrix, labels: Mapping[str, str]) -> None:
    """Print a matrix, each cell on a grey of its value."""
    chosen = _evenly(range(len(matrix.after_edits)), MOST_COLUMNS)
    console.print()
    protocol = labels.get(matrix.protocol, matrix.protocol)
    print_line(console, f"Reliability under {protocol} ({matrix.metric})")
    table = Table("edits", box=None, padding=0 if not is_plain(console) else (0, 1))
    for column in chosen:
        table.add_column(f"after\n{matrix.after_edits[column]}", justify="right", min_width=6)
    for row in chosen:
        first, last = matrix.groups[row]
        cells = [_shaded(matrix.values[row][column]) for column in chosen]
        table.add_row(f"{first} " if first == last else f"{first} to {last} ", *cells)
    console.print(table)
    if len(chosen) < len(matrix.after_edits):
        console.print(f"{len(chosen)} of {len(matrix.after_edits)} judging points are shown; all are in {SUMMARY}.")


def _shaded(value: float | None) -> Text:
    if value is None:
        return Text("")
    grey = round(DARK + (LIGHT - DARK) * min(1.0, max(0.0, value)))
    style = Style(color="color(16)" if grey > (DARK + LIGHT) // 2 else "color(255)", bgcolor=f"color({grey})")
    return Text(f" {value:.2f} ", style)


def collapse_in_words(found: Collapse) -> str:
    """Return from where on the model was collapsed, and by which signs."""
    since = "from" if found.lasting else "only at the judging point"
    on = " on" if found.lasting else ""
    stopped = "; the sequence was stopped there" if found.stopped else ""
    return f"The model has collapsed {since} {found.after_edits} edits{on}: {'; '.join(found.signs)}{stopped}."


def _evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most ``most`` of ``items``, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
