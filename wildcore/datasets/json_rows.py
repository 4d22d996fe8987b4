"""Rows in JSON. A list of rows and a file with a row on each line are read alike: as texts of one row each, one by one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildcore.bounded import (
    DEPTH,
    INTEGER_DIGITS,
    JSON_CHARACTERS,
    ROW_CHARACTERS,
    ROW_VALUES,
    require_small_json,
    too_deep,
)
from wildcore.errors import Place, UserError
from wildcore.types import Malformed

AS_LINES = "write one row on each line of a file whose name ends in .jsonl; it is read row by row"
EXTRA_DATA = ("not valid JSON: Extra data", "a file with an object on each line must be called .jsonl")

_IN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_IN_ROW = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
"""Everything up to a bracket or the beginning of a string that does not end in this piece."""
_BETWEEN = re.compile(r'[^"\[\]{},]*+')
"""Everything up to a bracket, a string or a comma."""
_SPACE = re.compile(r"[ \t\r\n]*+")
_CLOSING = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class Unreadable:
    """Stands in a row for a value that cannot be used, and says why."""

    problem: str


@dataclass(frozen=True)
class RowText:
    """The text of one element of a JSON list, and the place where it begins, counted from 1.

    ``problem`` says why there is no text.
    """

    text: str
    line: int
    column: int
    problem: str | None = None


def parsed_json(text: str) -> Any:
    """Return the value of a JSON text whose size and nesting are limited.

    ``Unreadable`` stands for a whole number that is too large, and for an object that has a name twice. Raises
    ``JSONDecodeError``.
    """
    return _DECODER.decode(text)


def row_of(place: str, found: RowText) -> tuple[str, Any] | Malformed:
    """Return the row that a text holds with its place, or why it holds none."""
    if found.problem is not None:
        return Malformed(place=place, problem=found.problem)
    text = found.text.rstrip(" \t\r\n")
    try:
        require_small_json(text, ROW_CHARACTERS, ROW_VALUES)
        return place, parsed_json(text)
    except json.JSONDecodeError as error:
        line = found.line + error.lineno - 1
        column = error.colno + (found.column - 1 if error.lineno == 1 else 0)
        at = f"column {column}" if place.endswith(f", line {line}") else f"line {line}, column {column}"
        return Malformed(place=f"{place}, {at}", problem=f"not valid JSON: {error.msg}")
    except ValueError as error:
        return Malformed(place=place, problem=str(error))


def _whole_number(digits: str) -> int | Unreadable:
    if len(digits) <= INTEGER_DIGITS:
        return int(digits)
    return Unreadable(f"a whole number has {len(digits):,} digits, and at most {INTEGER_DIGITS} are read")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Unreadable:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen = set[str]()
    twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return Unreadable(f"the name {twice!r:.60} occurs twice in an object")


_DECODER = json.JSONDecoder(parse_int=_whole_number, object_pairs_hook=_object)


class _Nesting:
    """The brackets that are open. Of those beyond ``DEPTH`` only the number is known."""

    def __init__(self) -> None:
        self.depth = 0
        self.too_deep = False
        self._closing: list[str] = []

    def open(self, bracket: str) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            self.too_deep = True
        else:
            self._closing.append(_CLOSING[bracket])

    def close(self, bracket: str) -> bool:
        """Return whether ``bracket`` closes the innermost one."""
        self.depth -= 1
        if self.depth >= DEPTH:
            return True
        return self.depth >= 0 and self._closing.pop() == bracket


class ListReader:
    """Finds the elements of a JSON list in the ``pieces`` of the text of ``path``. Of each it keeps no more than a row may have.

    An element ends at a comma or at the bracket that closes the list, whether it is valid JSON or not, so that a broken row does
    not hide the rows after it. Only strings and brackets must be closed.
    """

    def __init__(self, path: Path, pieces: Iterator[str]) -> None:
        self._path = path
        self._pieces = pieces
        self._piece, self._at = "", 0
        self._line, self._before = 1, 0  # the latter: characters of the line before this piece

    def begins(self) -> bool:
        """Return whether the text is a list, and pass its bracket if it is."""
        found = self._next_character() == "["
        self._at += found
        return found

    def elements(self) -> Iterator[RowText]:
        """Yield each element. Raises ``UserError`` where they cannot be told apart, and for text after the list."""
        number, goes_on = 0, self._next_character() != "]"
        if not goes_on:
            self._at += 1
        while goes_on:
            number += 1
            self._next_character()
            element, goes_on = self._element(number)
            yield element
        if self._next_character():
            raise self._error(*EXTRA_DATA)

    def whole_value(self) -> Any:
        """Return the value of a text that is no list. Raises ``UserError`` if it is not JSON, too large or nested too deeply."""
        line, kept, size = self._line, [self._piece[self._at :]], 0
        for piece in self._pieces:
            size += len(piece)
            if size <= JSON_CHARACTERS:
                kept.append(_with_line_feed(piece))
        text = "".join(kept)
        try:
            require_small_json(text if size <= JSON_CHARACTERS else " " * size)
            return parsed_json(text)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data":
                raise self._error(*EXTRA_DATA, line + error.lineno - 1, error.colno) from error
            raise self._error(f"not valid JSON: {error.msg}", None, line + error.lineno - 1, error.colno) from error
        except ValueError as error:
            raise UserError(str(error), Place(self._path), AS_LINES) from error

    def _element(self, number: int) -> tuple[RowText, bool]:
        """Return the element that begins here, and whether another one follows."""
        line, column = self._line, self._column
        kept, size, nesting, in_string = list[str](), 0, _Nesting(), False
        while True:
            end = self._end(in_string, nesting)
            stop = self._piece[end : end + 1]
            is_whole = not in_string and not nesting.depth and stop != "" and stop in ",]"
            goes_on = stop not in ("", "\\")  # a backslash only at the end of a piece
            next_at = end + 1 if goes_on and not is_whole else end
            size += next_at - self._at
            if nesting.too_deep or size > ROW_CHARACTERS:
                kept.clear()
            else:
                kept.append(self._piece[self._at : next_at])
            self._at = next_at
            if is_whole:
                self._at += 1
                return RowText("".join(kept), line, column, _problem(nesting, size)), stop == ","
            if not goes_on:
                if not self._refill():
                    raise self._error(
                        f"not valid JSON: row {number}, which begins here, is not closed", None, line, column
                    )
            elif stop == '"':
                in_string = not in_string
            elif stop in "[{":
                nesting.open(stop)
            elif stop != "," and not nesting.close(stop):
                self._at = end
                raise self._error(f"not valid JSON: {stop!r} closes nothing in row {number}")

    def _end(self, in_string: bool, nesting: _Nesting) -> int:
        """Return the place in the piece up to which nothing changes."""
        pattern = _IN_STRING if in_string else _IN_ROW if nesting.depth else _BETWEEN
        found = pattern.match(self._piece, self._at)
        assert found is not None, "each of them fits an empty text"
        return found.end()

    def _next_character(self) -> str:
        """Pass white space. Return the character after it, which is not passed, or nothing at the end of the text."""
        while True:
            found = _SPACE.match(self._piece, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._piece):
                return self._piece[self._at]
            if not self._refill():
                return ""

    def _refill(self) -> bool:
        """Add the next piece to what is left of this one. Return whether there is one."""
        following = next(self._pieces, None)
        if following is None:
            return False
        if self._piece.endswith("\n"):
            self._line += 1
            self._before = 0
        else:
            self._before += self._at
        self._piece, self._at = self._piece[self._at :] + _with_line_feed(following), 0
        return True

    @property
    def _column(self) -> int:
        return self._before + self._at + 1

    def _error(
        self, problem: str, way_out: str | None = None, line: int | None = None, column: int | None = None
    ) -> UserError:
        place = (Place(self._path, line or self._line), f", column {column or self._column}")
        return UserError(problem, place, way_out)


def _problem(nesting: _Nesting, size: int) -> str | None:
    if nesting.too_deep:
        return too_deep()
    return f"too large: more than {ROW_CHARACTERS:,} characters" if size > ROW_CHARACTERS else None


def _with_line_feed(piece: str) -> str:
    return f"{piece.rstrip(chr(13) + chr(10))}\n" if piece.endswith(("\n", "\r")) else piece
