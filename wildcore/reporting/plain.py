"""A table as plain text, for files and other programs: one line a row, columns apart by two or more spaces.

The form does not depend on the width of a window. The first line has the column names. No cell contains two spaces side by
side, no line begins or ends with a space, and an empty cell is a hyphen. So each line splits into as many fields as there are
columns: ``pandas.read_csv(file, sep=r"\\s{2,}", engine="python")`` or ``awk -F '  +'``.
"""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

EMPTY = "-"
BETWEEN = "  "


def plain_lines(table: Table, console: Console) -> Iterator[str]:
    """Yield the lines of ``table``: its title, if it has one, the column names, if it shows them, and its rows."""
    if table.title is not None:
        yield _in_one_line(table.title, console)
    right = [number > 0 and column.justify == "right" for number, column in enumerate(table.columns)]
    yield from aligned(cells_of(table, console), right)


def cells_of(table: Table, console: Console) -> list[tuple[str, ...]]:
    """Return the text of the cells of ``table``, row by row; first the column names, if it shows them."""
    heads = [[column.header] if table.show_header else [] for column in table.columns]
    return list(
        zip(
            *(
                [_in_one_line(cell, console) or EMPTY for cell in (*head, *column.cells)]
                for head, column in zip(heads, table.columns, strict=True)
            ),
            strict=True,
        )
    )


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool], between: str = BETWEEN) -> Iterator[str]:
    """Yield a line for each of ``rows``, each column as wide as its widest cell, and at the ``right`` edge where that is True."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = []
        for cell, width, at_right in zip(row, widths, right, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if at_right else cell + space)
        yield between.join(cells).rstrip()


def _in_one_line(cell: RenderableType, console: Console) -> str:
    """Return the text of a cell, with every run of white space as one space."""
    text = cell.plain if isinstance(cell, Text) else cell if isinstance(cell, str) else _rendered(cell, console)
    return " ".join(text.split())


def _rendered(cell: RenderableType, console: Console) -> str:
    return "".join(segment.text for segment in console.render(cell))
