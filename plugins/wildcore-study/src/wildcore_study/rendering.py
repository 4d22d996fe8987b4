"""A study's tables as text for people and programs: console, JSON, CSV, Markdown and LaTeX."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from wildcore.reporting.console import printable, safe_text
from wildcore_study.tables import Cell, DifferenceRow, Report, StudyTable

DIFFERENCE_COLUMNS = ("editor", "difference", "points", "95 % interval", "p (Holm)", "detectable", "cases")
CSV_COLUMNS = (
    "table", "kind", "row", "column", "value", "low", "high", "cases", "before", "unscored", "refused", "p", "p_holm", "test",
    "family_size", "detectable", "clusters", "left_out", "published_table", "published_model", "note",
)  # fmt: skip
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}", "]": "{]}",
}  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """Texts in rows and columns; ``strong`` are the rows and columns of those in bold."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[tuple[int, int]] = frozenset()


def grids(table: StudyTable) -> list[Grid]:
    """Return the means of a table and, if it has any, their differences; one grid for a table of other things."""
    if not table.rows:
        return [Grid(table.columns, table.plain)]
    numbers = {note: str(index) for index, note in enumerate(table.footnotes, start=1)}
    rows = tuple(
        (name, *(_cell(cell, numbers) for cell in cells)) for name, cells in zip(table.rows, table.cells, strict=True)
    )
    means = Grid(("editor", *table.columns), rows)
    if not table.differences:
        return [means]
    strong = frozenset((index, 2) for index, row in enumerate(table.differences) if row.stands)
    return [means, Grid(DIFFERENCE_COLUMNS, tuple(_difference(row) for row in table.differences), strong)]


def _cell(cell: Cell | None, footnotes: dict[str, str]) -> str:
    if cell is None:
        return "not measured"
    interval = "no interval" if cell.low is None or cell.high is None else f"{cell.low:.3f} to {cell.high:.3f}"
    missing = [f"{count} {name}" for count, name in ((cell.unscored, "unscored"), (cell.refused, "refused")) if count]
    text = f"{cell.mean:.3f} ({', '.join([interval, f'n={cell.cases}', *missing])})"
    for one in cell.published:
        model = f" for {one.of_another_model}" if one.of_another_model else ""
        marks = ",".join(footnotes[note] for note in one.footnotes)
        text += f"; published {one.value:.3f} ({one.table}{model})" + (f" [{marks}]" if marks else "")
    return text


def _difference(row: DifferenceRow) -> tuple[str, ...]:
    paired = row.paired
    points = "-" if paired.difference is None else f"{100 * paired.difference:+.1f}"
    has_interval = paired.low is not None and paired.high is not None
    interval = f"{100 * (paired.low or 0):+.1f} to {100 * (paired.high or 0):+.1f}" if has_interval else "none"
    p = "-" if row.p_holm is None else "< 0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}"
    detectable = "-" if paired.detectable is None else f"{100 * paired.detectable:.1f}"
    cases = str(paired.cases)
    cases += f" ({paired.clusters} clusters)" if paired.clusters < paired.cases else ""
    cases += f", {paired.left_out} left out" if paired.left_out else ""
    return row.editor, row.label, points, interval, p, detectable, cases


def print_report(console: Console, report: Report) -> None:
    """Print the tables on the console."""
    console.print(safe_text(report.title))
    for table in report.tables:
        console.print()
        console.print(safe_text(table.title))
        for grid in grids(table):
            shown = Table(*(str(safe_text(name)) for name in grid.columns))
            for row in grid.rows:
                shown.add_row(*(safe_text(text) for text in row))
            console.print(shown)
        for number, note in enumerate(table.footnotes, start=1):
            console.print(safe_text(f"[{number}] {note}"))
    for line in _unfinished(report):
        console.print(safe_text(line))


def _unfinished(report: Report) -> list[str]:
    """Return what the tables do not show or show only in part, under a head line; empty if they show everything."""
    lines = [f"{one.cell}: {one.reason}" for one in report.unfinished]
    return [f"Unfinished or incomplete: {len(lines)}", *lines] if lines else []


def to_json(report: Report) -> str:
    """Return the report as JSON."""
    return report.model_dump_json(indent=2)


def to_csv(report: Report) -> str:
    """Return the report as CSV with one line for each mean, published number, difference, other value, footnote and unfinished
    cell; ``kind`` says which it is.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in report.tables:
        for line in (*_means(table), *_difference_lines(table), *_values(table)):
            writer.writerow({"table": table.title, **line})
        writer.writerows({"table": table.title, "kind": "footnote", "note": note} for note in table.footnotes)
    writer.writerows(
        {"table": report.title, "kind": "unfinished", "row": one.cell, "note": one.reason} for one in report.unfinished
    )
    return out.getvalue()


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
            for one in cell.published:
                yield {
                    "kind": "published", **place, "value": one.value, "published_table": one.table,
                    "published_model": one.of_another_model, "note": " ".join(one.footnotes),
                }  # fmt: skip


def _difference_lines(table: StudyTable) -> Iterable[dict[str, object]]:
    for row in table.differences:
        paired = row.paired
        yield {
            "kind": "difference", "row": row.editor, "column": row.label, "value": paired.difference, "low": paired.low,
            "high": paired.high, "cases": paired.cases, "p": paired.p, "p_holm": row.p_holm, "test": paired.test,
            "family_size": row.family_size, "detectable": paired.detectable, "clusters": paired.clusters,
            "left_out": paired.left_out, "note": paired.note,
        }  # fmt: skip


def _values(table: StudyTable) -> Iterable[dict[str, object]]:
    for number, row in enumerate(table.plain, start=1):
        for column, value in zip(table.columns, row, strict=True):
            yield {"kind": "value", "row": number, "column": column, "value": value}


def to_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    parts = [f"# {_in_markdown(report.title)}"]
    for table in report.tables:
        parts.append(f"## {_in_markdown(table.title)}")
        parts += [_markdown_grid(grid) for grid in grids(table)]
        parts += [f"[{number}] {_in_markdown(note)}" for number, note in enumerate(table.footnotes, start=1)]
    if report.unfinished:
        head, *lines = _unfinished(report)
        parts += [f"## {head}", "\n".join(f"- {_in_markdown(line)}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def _markdown_grid(grid: Grid) -> str:
    lines = [_markdown_row(grid.columns), _markdown_row(["---"] * len(grid.columns))]
    for number, row in enumerate(grid.rows):
        texts = [_in_markdown(text) for text in row]
        lines.append(_markdown_row([f"**{t}**" if (number, i) in grid.strong else t for i, t in enumerate(texts)]))
    return "\n".join(lines)


def _markdown_row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _in_markdown(text: str) -> str:
    shown = printable(text)
    for sign in "\\`*_|<>[]#":
        shown = shown.replace(sign, f"\\{sign}")
    return shown


def to_latex(report: Report) -> str:
    """Return the report as LaTeX tables for the package booktabs; a difference that stands is bold."""
    parts = [f"% {printable(report.title)}"]
    for table in report.tables:
        parts += [r"\begin{table}", r"\centering\small", rf"\caption{{{in_latex(table.title)}}}"]
        parts += [_latex_grid(grid) for grid in grids(table)]
        parts += [rf"\par {{[{number}]}} {in_latex(note)}" for number, note in enumerate(table.footnotes, start=1)]
        parts.append(r"\end{table}")
    parts += [rf"\par {in_latex(line)}" for line in _unfinished(report)]
    return "\n".join(parts) + "\n"


def _latex_grid(grid: Grid) -> str:
    lines = [rf"\begin{{tabular}}{{{'l' * len(grid.columns)}}}", r"\toprule", _latex_row(map(in_latex, grid.columns))]
    lines.append(r"\midrule")
    for number, row in enumerate(grid.rows):
        texts = (rf"\textbf{{{in_latex(t)}}}" if (number, i) in grid.strong else in_latex(t) for i, t in enumerate(row))
        lines.append(_latex_row(texts))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\par\medskip"])


def _latex_row(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def in_latex(text: str) -> str:
    """Return ``text`` with every character that LaTeX would interpret replaced by one that it shows."""
    return "".join(LATEX_SPECIAL.get(sign, sign) for sign in printable(text))
