"""A study's tables as text for people and programs: console, JSON, CSV, Markdown and LaTeX."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Column, Table

from wildcore.reporting.console import printable, safe_text
from wildcore.reporting.tables import Bold, as_csv, as_latex, as_markdown, in_latex, in_markdown
from wildcore.reporting.tables import Cell as Text
from wildcore_study.comparisons import DifferenceRow
from wildcore_study.documents import TABLES
from wildcore_study.tables import Cell, Report, StudyTable

WIDEST = 8
"""Most columns of means that stand side by side; a table with more is turned, so that its columns are rows."""
DIFFERENCE_COLUMNS = ("points", "95 % interval", "p (Holm)", "detectable", "cases")
CSV_COLUMNS = (
    "table", "kind", "row", "column", "value", "low", "high", "cases", "before", "unscored", "refused", "p", "p_holm", "test",
    "family", "family_size", "detectable", "clusters", "left_out", "published_table", "published_model", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """Texts in rows and columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]


def grids(table: StudyTable) -> list[Grid]:
    """Return the means of a table and, if it has any, their differences between columns and between editors; one grid for a
    table of other things.

    A difference that stands is bold. Of the pairs of editors, those that are shown have a row. Means in more than ``WIDEST``
    columns are turned: a row for each column, a column for each editor.
    """
    if not table.rows:
        return [Grid(table.columns, table.plain)]
    numbers = {note: str(index) for index, note in enumerate(table.footnotes, start=1)}
    texts = [[_cell(cell, numbers) for cell in cells] for cells in table.cells]
    if len(table.columns) > WIDEST:
        turned = zip(table.columns, *texts, strict=True)
        means = Grid(("setting", *table.rows), tuple(turned))
    else:
        means = Grid(
            ("editor", *table.columns), tuple((name, *row) for name, row in zip(table.rows, texts, strict=True))
        )
    columns = tuple((row.editor, row.label, *_difference(row)) for row in table.differences)
    editors = tuple((row.label, row.editor, *_difference(row)) for row in table.between_editors if row.is_shown)
    return [
        means,
        *([Grid(("editor", "difference", *DIFFERENCE_COLUMNS), columns)] if columns else []),
        *([Grid(("column", "editors on the same cases", *DIFFERENCE_COLUMNS), editors)] if editors else []),
    ]


def _cell(cell: Cell | None, footnotes: dict[str, str]) -> str:
    if cell is None:
        return "not measured"
    interval = "no interval" if cell.low is None or cell.high is None else f"{cell.low:.3f} to {cell.high:.3f}"
    missing = [f"{count} {name}" for count, name in ((cell.unscored, "unscored"), (cell.refused, "refused")) if count]
    if cell.repeats:
        missing.append(f"{len(cell.repeats)} repeats from {min(cell.repeats):.3f} to {max(cell.repeats):.3f}")
    text = f"{cell.mean:.3f} ({', '.join([interval, f'n={cell.cases}', *missing])})"
    for one in cell.published:
        model = f" for {one.of_another_model}" if one.of_another_model else ""
        marks = ",".join(footnotes[note] for note in one.footnotes)
        text += f"; published {one.value:.3f} ({one.table}{model})" + (f" [{marks}]" if marks else "")
    return text


def _difference(row: DifferenceRow) -> tuple[Text, ...]:
    paired = row.paired
    points = "-" if paired.difference is None else f"{100 * paired.difference:+.1f}"
    has_interval = paired.low is not None and paired.high is not None
    interval = f"{100 * (paired.low or 0):+.1f} to {100 * (paired.high or 0):+.1f}" if has_interval else "none"
    p = "-" if row.p_holm is None else "< 0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}"
    detectable = "-" if paired.detectable is None else f"{100 * paired.detectable:.1f}"
    cases = str(paired.cases)
    cases += f" ({paired.clusters} clusters)" if paired.clusters < paired.cases else ""
    cases += f", {paired.left_out} left out" if paired.left_out else ""
    return Bold(points) if row.stands else points, interval, p, detectable, cases


def print_report(console: Console, report: Report) -> None:
    """Print the tables on the console."""
    console.print(safe_text(report.title))
    for table in report.tables:
        console.print()
        console.print(safe_text(table.title))
        for grid in grids(table):
            shown = Table(*(Column(str(safe_text(name)), overflow="fold") for name in grid.columns))
            for row in grid.rows:
                shown.add_row(*(safe_text(text.text + text.rest if isinstance(text, Bold) else text) for text in row))
            console.print(shown)
        for number, note in enumerate(table.footnotes, start=1):
            console.print(safe_text(f"[{number}] {note}"))
    for line in (*report.notes, *_unfinished(report)):
        console.print(safe_text(line))


def _unfinished(report: Report) -> list[str]:
    """Return what the tables do not show or show only in part, under a head line; empty if they show everything."""
    lines = [f"{one.cell}: {one.reason}" for one in report.unfinished]
    return [f"Unfinished or incomplete: {len(lines)}", *lines] if lines else []


def to_json(report: Report) -> str:
    """Return the report as JSON."""
    return TABLES.text(report) + "\n"


def to_csv(report: Report) -> str:
    """Return the report as CSV with one line for each mean, published number, difference, other value, footnote and unfinished
    cell; ``kind`` says which it is.
    """
    lines: list[dict[str, object]] = []
    for table in report.tables:
        of_table = (*_means(table), *_difference_lines(table), *_values(table))
        lines += [{"table": table.title, **line} for line in of_table]
        lines += [{"table": table.title, "kind": "footnote", "note": note} for note in table.footnotes]
    lines += [{"table": report.title, "kind": "note", "note": note} for note in report.notes]
    lines += [
        {"table": report.title, "kind": "unfinished", "row": one.cell, "note": one.reason} for one in report.unfinished
    ]
    return as_csv(CSV_COLUMNS, lines) + "\n"


def _means(table: StudyTable) -> Iterable[dict[str, object]]:
    for name, cells in zip(table.rows, table.cells, strict=True):
        for column, cell in zip(table.columns, cells, strict=True):
            place = {"row": name, "column": column}
            if cell is None:
                yield {"kind": "not measured", **place}
                continue
            yield {
                "kind": "mean", **place, "value": cell.mean, "low": cell.low, "high": cell.high, "cases": cell.cases,
                "before": cell.before, "unscored": cell.unscored, "refused": cell.refused,
            }  # fmt: skip
            for value in cell.repeats:
                yield {"kind": "repeat", **place, "value": value}
            for one in cell.published:
                yield {
                    "kind": "published", **place, "value": one.value, "published_table": one.table,
                    "published_model": one.of_another_model, "note": " ".join(one.footnotes),
                }  # fmt: skip


def _difference_lines(table: StudyTable) -> Iterable[dict[str, object]]:
    kinds = [("difference", row) for row in table.differences]
    kinds += [("difference of editors", row) for row in table.between_editors]
    for kind, row in kinds:
        paired = row.paired
        yield {
            "kind": kind, "row": row.editor, "column": row.label, "value": paired.difference, "low": paired.low,
            "high": paired.high, "cases": paired.cases, "p": paired.p, "p_holm": row.p_holm, "test": paired.test,
            "family": row.family, "family_size": row.family_size, "detectable": paired.detectable,
            "clusters": paired.clusters, "left_out": paired.left_out, "note": paired.note,
        }  # fmt: skip


def _values(table: StudyTable) -> Iterable[dict[str, object]]:
    for number, row in enumerate(table.plain, start=1):
        for column, value in zip(table.columns, row, strict=True):
            yield {"kind": "value", "row": number, "column": column, "value": value}


def to_markdown(report: Report) -> str:
    """Return the report as Markdown; a difference that stands is bold."""
    parts = [f"# {in_markdown(report.title)}"]
    for table in report.tables:
        parts.append(f"## {in_markdown(table.title)}")
        parts += [as_markdown(grid.columns, grid.rows) for grid in grids(table)]
        parts += [in_markdown(f"[{number}] {note}") for number, note in enumerate(table.footnotes, start=1)]
    parts += [in_markdown(note) for note in report.notes]
    if report.unfinished:
        head, *lines = _unfinished(report)
        parts += [f"## {head}", "\n".join(f"- {in_markdown(line)}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def to_latex(report: Report) -> str:
    """Return the report as LaTeX tables for the package booktabs; a difference that stands is bold."""
    parts = [f"% {printable(report.title)}"]
    for table in report.tables:
        parts += [r"\begin{table}", r"\centering\small", rf"\caption{{{in_latex(table.title)}}}"]
        parts += [as_latex(grid.columns, grid.rows) + "\n\\par\\medskip" for grid in grids(table)]
        parts += [rf"\par {in_latex(f'[{number}] {note}')}" for number, note in enumerate(table.footnotes, start=1)]
        parts.append(r"\end{table}")
    parts += [rf"\par {in_latex(line)}" for line in (*report.notes, *_unfinished(report))]
    return "\n".join(parts) + "\n"
