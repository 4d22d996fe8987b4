"""Files of cells with a separator between them, such as CSV, as spreadsheets, pandas and people write them."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from wildcore.bounded import COLUMNS, ROW_CHARACTERS
from wildcore.datasets.reading import BLANK_COLUMN, BLANK_ROW, MISSING_VALUES, UNNAMED_COLUMN, WHOLE_NUMBER, Reading
from wildcore.datasets.row_checks import require_name
from wildcore.datasets.values import WHOLE
from wildcore.errors import Place, UserError
from wildcore.types import Malformed

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

SAMPLE = 20
"""Number of lines from which the separator is recognised."""

SAMPLE_CHARACTERS = 1_000_000
"""Once this number of characters has been looked at, no further line is."""

NAMED_SEPARATOR = re.compile(r'sep=([^"\r\n ])\s*', re.IGNORECASE)
"""The line in which a spreadsheet program names the separator."""

Found = tuple[str, Any] | Malformed


@dataclass(frozen=True)
class _Cells:
    """One row of cells, or what is wrong with it, and the line in which it begins."""

    line: int
    cells: Sequence[str] | csv.Error


def separated(
    path: Path, opened_lines: Callable[[], Iterator[str]], usual: str, reading: Reading, can_read_twice: bool
) -> Iterator[Found]:
    """Yield the rows below the columns' names, each with its first line.

    ``usual`` is the separator that the file's ending tells; another one is recognised by the first lines, and noted. Blank
    rows, and blank columns without a name, are left out and counted. A column in which every number ends in ".0" comes from a
    program that had to leave a gap in a column of integers; it is read without the ".0" if ``can_read_twice`` allows to look
    at the whole column first.
    """
    rows, separator = _rows(opened_lines(), usual)
    if separator != usual:
        reading.form.append(f"{path}: its cells are separated by {SEPARATORS.get(separator, repr(separator))}")
    names = _header(path, rows, reading)
    whole = frozenset[int]()
    if reading.plain_values and can_read_twice:
        whole = _whole_number_columns(_rows(opened_lines(), usual)[0], len(names))
    for row in rows:
        place = f"{path}, line {row.line}"
        if isinstance(row.cells, csv.Error):
            yield Malformed(place=place, problem=f"the cells cannot be told apart: {row.cells}")
        elif not any(cell.strip() for cell in row.cells):
            reading.notice(BLANK_ROW, place)
        else:
            yield _record(place, names, row.cells, whole, reading)


def _rows(lines: Iterator[str], usual: str) -> tuple[Iterator[_Cells], str]:
    """Return the rows of cells, including that of the columns' names, and the separator."""
    sample = list(_sample(lines))
    named = NAMED_SEPARATOR.fullmatch(sample[0]) if sample else None
    if named:
        return _cells(chain(sample[1:], lines), named[1], skipped=1), named[1]
    is_whole = len(sample) < SAMPLE and sum(map(len, sample)) <= SAMPLE_CHARACTERS
    separator = _separator(sample, usual, is_whole)
    return _cells(chain(sample, lines), separator, skipped=0), separator


def _sample(lines: Iterator[str]) -> Iterator[str]:
    size = 0
    for line in islice(lines, SAMPLE):
        yield line
        size += len(line)
        if size > SAMPLE_CHARACTERS:
            return


class _RowLines:
    """Lines as the reader of cells takes them. A row that becomes too large ends in an error; the next line begins another."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.count = 0
        self.size = 0
        """Characters of the row so far."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        self.size += len(line)
        if self.size > ROW_CHARACTERS:
            raise csv.Error(f"too large: more than {ROW_CHARACTERS:,} characters in a row")
        return line


def _cells(lines: Iterator[str], separator: str, skipped: int) -> Iterator[_Cells]:
    row_lines = _RowLines(lines)
    reader = csv.reader(row_lines, delimiter=separator, strict=True)
    while True:
        line = skipped + row_lines.count + 1
        row_lines.size = 0
        try:
            yield _Cells(line, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            yield _Cells(line, error)


def _separator(sample: Sequence[str], usual: str, is_whole: bool) -> str:
    """Return the separator that gives most rows as many cells as there are names, of which there must be two.

    Among equals the usual one is chosen, then the one with most names.
    """

    def fit(separator: str) -> tuple[float, bool, int]:
        try:
            rows = [row for row in csv.reader(sample, delimiter=separator) if any(cell.strip() for cell in row)]
        except csv.Error:
            return 0.0, separator == usual, 0
        if not is_whole and len(rows) > 2:
            rows.pop()  # a row that goes on after the sample
        names = len([name for name in rows[0] if name.strip()]) if rows else 0
        if names < 2:
            return 0.0, separator == usual, 0
        alike = [len(row) >= names for row in rows[1:] if len(row) <= len(rows[0])]
        return (sum(alike) / len(rows[1:]) if rows[1:] else 1.0), separator == usual, names

    return max((usual, *SEPARATORS), key=fit)


def _header(path: Path, rows: Iterator[_Cells], reading: Reading) -> list[str]:
    """Return the columns' names, without blank ones at the end. A blank row before them is skipped."""
    for row in rows:
        if isinstance(row.cells, csv.Error):
            raise UserError(f"the columns' names cannot be told apart: {row.cells}", Place(path, row.line))
        names = [name.strip() for name in row.cells]
        if any(names):
            break
        reading.notice(BLANK_ROW, f"{path}, line {row.line}")
    else:
        raise UserError("expected the columns' names, found nothing", Place(path, 1))
    if len(names) > COLUMNS:
        raise UserError(f"{len(names):,} columns, and at most {COLUMNS:,} are read", Place(path, row.line))
    for name, count in Counter(filter(None, names)).items():
        if count > 1:
            raise UserError(f"two columns are called {name!r:.60}", Place(path, row.line))
        _require_name(name, Place(path, row.line))
    while not names[-1]:
        names.pop()
    return names


def _require_name(name: str, place: Place) -> None:
    try:
        require_name(name)
    except ValueError as error:
        raise UserError(str(error), place, "write another name into the first row") from error


def _record(place: str, names: list[str], cells: Sequence[str], whole: frozenset[int], reading: Reading) -> Found:
    extra = cells[len(names) :]
    if len(cells) < len(names) or any(cell.strip() for cell in extra):
        return Malformed(place=place, problem=f"expected {len(names)} cells, as in the header, found {len(cells)}")
    if extra:
        reading.notice(BLANK_COLUMN, place)
    if any(cell.strip() for name, cell in zip(names, cells, strict=False) if not name):
        reading.notice(UNNAMED_COLUMN, place)
    record = {name: cell for name, cell in zip(names, cells, strict=False) if name}
    for column in whole:
        found = WHOLE.fullmatch(cells[column].strip())
        if names[column] and found:
            reading.notice(WHOLE_NUMBER, f"{place}, field {names[column]!r}: {cells[column].strip()} as {found[1]}")
            record[names[column]] = found[1]
    return place, record


def _whole_number_columns(rows: Iterator[_Cells], width: int) -> frozenset[int]:
    """Return the columns in which every cell is a number that ends in ".0", or blank or the mark of a missing value."""
    possible, seen = set(range(width)), set[int]()
    is_header = True
    for row in rows:
        if isinstance(row.cells, csv.Error) or not any(cell.strip() for cell in row.cells):
            continue
        if is_header:
            is_header = False
            continue
        for column in [column for column in possible if column < len(row.cells)]:
            cell = row.cells[column].strip()
            if WHOLE.fullmatch(cell):
                seen.add(column)
            elif cell and cell not in MISSING_VALUES:
                possible.discard(column)
        if not possible:
            break
    return frozenset(possible & seen)
