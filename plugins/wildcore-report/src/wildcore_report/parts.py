"""What the sections of a report are made of: runs with their names, tables, and a section with its figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from wildcore_report.drawing import Drawing
from wildcore_report.numbers import RunNumbers
from wildcore_report.payload import Cell, SectionData, TableData, TitledTable

DECIMALS = 6
"""Decimals kept of a number: more than the page shows, as a number that is rounded twice may come out one too high."""
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class NamedRun:
    """A run and its short name, which no other run of the report has."""

    name: str
    numbers: RunNumbers


@dataclass
class Part:
    """A section of the report while it is written."""

    id: str
    title: str
    text: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[TitledTable] = field(default_factory=list)

    def draw(self, drawing: Drawing) -> None:
        """Add a figure. If its id is taken, as those of tags in other scripts may be, it gets a number."""
        taken = {known.id for known in self.drawings}
        free = (f"{drawing.id}-{number}" for number in count(2))
        unique = drawing.id if drawing.id not in taken else next(one for one in free if one not in taken)
        self.drawings.append(replace(drawing, id=unique))

    def add_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], left: int = 1,
        texts: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Add a table. Its first ``left`` columns, and those of ``texts``, are aligned on the left."""
        align: list[Literal["left", "right"]] = [
            "left" if n < left or name in texts else "right" for n, name in enumerate(columns)
        ]
        self.tables.append(
            TitledTable(title=title, columns=tuple(columns), align=tuple(align), rows=tuple(map(tuple, rows)))
        )

    @property
    def section(self) -> SectionData:
        """The section for the page."""
        return SectionData(
            id=self.id,
            title=self.title,
            text=tuple(self.text),
            figures=tuple(drawing.id for drawing in self.drawings),
            tables=tuple(self.tables),
        )


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> TableData:
    """Return the table of a figure's numbers."""
    return TableData(columns=tuple(columns), rows=tuple(map(tuple, rows)))


def rounded(value: float | None) -> float | None:
    """Return a number as the page receives it."""
    return None if value is None else round(value, DECIMALS)


def interval_text(low: float | None, high: float | None) -> str | None:
    """Return an interval as tables show it."""
    return None if low is None or high is None else f"{low:.3f} to {high:.3f}"


def points_text(low: float | None, high: float | None) -> str | None:
    """Return the interval of a difference in points, as tables show it."""
    return None if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"


def in_points(difference: float | None) -> str | None:
    """Return a difference of shares in points, as tables show it."""
    return None if difference is None else f"{100 * difference:+.1f}"


def p_text(p: float | None) -> str | None:
    """Return a p-value, as tables show it."""
    return None if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def some_of(count: int, most: int, what: str) -> str:
    """Return how many of ``what`` a figure shows, if not all."""
    return f" The figure shows the first {most} of {count} {what}; the table has all." if count > most else ""
