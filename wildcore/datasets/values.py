"""Values of a table as a person writes them, and lists that a program wrote into one cell."""

import ast
import json
import math
import re
import tokenize
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from io import StringIO
from numbers import Integral, Real
from typing import Any

from wildcore.bounded import ROW_CHARACTERS, ROW_VALUES, require_small_json
from wildcore.datasets.json_rows import parsed_json
from wildcore.datasets.reading import DATE, TRUTH_VALUE, WHOLE_NUMBER
from wildcore.datasets.row_checks import require_sound

MIDNIGHT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ]00:00:00(?:\.0+)?(?:Z|[+-]00:?00)?")
WHOLE = re.compile(r"(-?\d+)\.0")

Plain = tuple[str, str | None]
"""A text, and how it differs from what a program wrote (None: not at all)."""


def is_nothing(value: Any) -> bool:
    """Return whether a value is null, not a number, blank text, or an empty list or object."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list | Mapping):
        return not value
    return value is None or _is_not_itself(value)


def _is_not_itself(value: Any) -> bool:
    """Return whether a value is a NaN, or pandas' NaT."""
    return isinstance(value, Real | Decimal | datetime) and bool(value != value)


def plain(value: Any) -> Plain | None:
    """Return a value as a person writes it, or None if it is neither text, number, date nor truth value.

    1971.0 is written as 1971, and 1971-05-04 00:00:00 as 1971-05-04. True is written as True, the spelling in which pandas
    writes it into a CSV file and in which an answer stands alone; no metric that ignores case tells it from "true".
    """
    if isinstance(value, str):
        found = MIDNIGHT.fullmatch(value.strip())
        return (found[1], DATE) if found else (value, None)
    if _is_truth_value(value):
        return str(bool(value)), TRUTH_VALUE
    if isinstance(value, Integral):
        return str(int(value)), None
    if isinstance(value, Real | Decimal):
        return _plain_number(value if isinstance(value, Decimal) else Decimal(repr(float(value))))
    return _plain_date(value)


def as_written(value: Any) -> str | None:
    """Return a value as Python writes it, or None if it is neither text, number, date nor truth value."""
    if isinstance(value, Real | Decimal) and not _is_truth_value(value) and not math.isfinite(value):
        return None
    known = (str, Real, Decimal, date, time)
    return str(value) if isinstance(value, known) or _is_truth_value(value) else None


def _is_truth_value(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")  # the latter are numpy's


def _plain_number(number: Decimal) -> Plain | None:
    if not number.is_finite():
        return None
    if number == number.to_integral_value():
        return f"{number.to_integral_value():f}".removeprefix("-" if number == 0 else ""), WHOLE_NUMBER
    return f"{number:f}", None


def _plain_date(value: Any) -> Plain | None:
    if isinstance(value, datetime):
        if value.time() == time():
            return value.date().isoformat(), DATE
        return value.isoformat(sep=" "), None
    return (value.isoformat(), None) if isinstance(value, date | time) else None


def decoded(text: str) -> Any:
    """Return the list or object that a program wrote into one cell, or None if the text is neither.

    Read are JSON, and Python's, numpy's and pandas' way to write it: ``['a', 'b']``, ``['a' 'b']``,
    ``{'text': array(['a'], dtype=object)}``. Nothing is evaluated.
    """
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    try:
        require_small_json(text, ROW_CHARACTERS, ROW_VALUES)
        return parsed_json(text)
    except json.JSONDecodeError:
        pass
    except ValueError:
        return None
    try:
        tokens = _Tokens(text)
        value = tokens.value()
        require_sound(value)
        return value if tokens.is_at_the_end else None
    except (SyntaxError, ValueError, StopIteration, RecursionError, tokenize.TokenError):
        return None


def decoded_texts(text: str) -> list[Any] | None:
    """Return the list of texts or numbers that a program wrote into one cell, or None if the text is not such a list."""
    found = decoded(text)
    if not isinstance(found, list) or any(isinstance(item, Mapping) for item in flat(found)):
        return None
    return found


def flat(values: list[Any]) -> Iterator[Any]:
    """Yield the elements of a list, and of the lists in it."""
    for value in values:
        if isinstance(value, list):
            yield from flat(value)
        else:
            yield value


CLOSING = {"[": "]", "(": ")", "{": "}"}
SKIPPED = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT)
CONSTANTS = {"None": None, "nan": None, "NaN": None, "True": True, "False": False}


class _Tokens:
    """A reader of lists and dictionaries as Python writes them. Raises ``ValueError`` for anything else."""

    def __init__(self, text: str) -> None:
        readable = tokenize.generate_tokens(StringIO(text).readline)
        self._tokens = ((token.type, token.string) for token in readable if token.type not in SKIPPED)
        self._next = next(self._tokens)

    @property
    def is_at_the_end(self) -> bool:
        return self._next[0] == tokenize.ENDMARKER

    def value(self) -> Any:
        kind, text = self._take()
        if kind == tokenize.OP and text in "[(":
            return self._items(CLOSING[text])
        if kind == tokenize.OP and text == "{":
            return self._pairs()
        if kind == tokenize.OP and text == "-":
            return -self._number(*self._take())
        if kind == tokenize.NAME and text == "array":
            return self._array()
        if kind == tokenize.NAME and text in CONSTANTS:
            return CONSTANTS[text]
        if kind == tokenize.STRING and text[0] in "'\"":
            return ast.literal_eval(text)
        return self._number(kind, text)

    def _items(self, closing: str) -> list[Any]:
        """Read up to the end of a list. numpy writes nothing between its elements, so commas are optional."""
        items = []
        while not self._comes(closing):
            items.append(self.value())
            self._comes(",")
        return items

    def _pairs(self) -> dict[str, Any]:
        pairs = {}
        while not self._comes("}"):
            key = str(self.value())
            if key in pairs:
                raise ValueError(key)
            self._require(":")
            pairs[key] = self.value()
            self._comes(",")
        return pairs

    def _array(self) -> Any:
        """Read the rest of ``array([...], dtype=...)``."""
        self._require("(")
        value = self.value()
        while not self._comes(")"):
            self._take()
        return value

    def _number(self, kind: int, text: str) -> int | float:
        if kind != tokenize.NUMBER:
            raise ValueError(text)
        number: int | float = ast.literal_eval(text)
        return number

    def _take(self) -> tuple[int, str]:
        taken, self._next = self._next, next(self._tokens)
        return taken

    def _comes(self, text: str) -> bool:
        """Return whether the next token is ``text``, and pass it if it is."""
        if self._next != (tokenize.OP, text):
            return False
        self._take()
        return True

    def _require(self, text: str) -> None:
        if not self._comes(text):
            raise ValueError(text)
