"""The rows of a dataset: fields are checked one by one, so that what is wrong with a row is named with its place and field."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wildcore.errors import Message, UserError, nearest
from wildcore.types import EditCase, EditRequest, Malformed

STRAY_WHITE_SPACE = "stray-white-space"
"""Tag of a case: the fields of its row that had white space around their text, which is taken away."""

ROWS_NAMED = 20
"""Most rows that one message names."""

_ABSENT = object()


class MalformedRow(UserError):
    """A row that is no case: where it stands, and what is wrong with it."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(problem, about=place)
        self.place = place
        self.problem: str = problem


@dataclass(frozen=True)
class Row:
    """One row of a source. ``place`` says where it stands, ``number`` counts the source's rows from 1, malformed ones too.

    A field's name may be a path into objects, such as ``requested_rewrite.subject``. A field holds nothing where it is null,
    not a number, blank text, or an empty list or object. Every method but ``holds`` raises ``MalformedRow``.
    """

    place: str
    fields: Mapping[str, Any]
    number: int = 1
    stripped: list[str] = field(default_factory=list, compare=False)
    """Names of the fields read so far that had white space around their text; rows within a row share the list."""

    def holds(self, name: str) -> bool:
        """Say whether the row has a field with something in it."""
        value = _at(self.fields, name)
        return value is not _ABSENT and not _is_nothing(value)

    def require(self, name: str) -> None:
        """Refuse a row that lacks a field; one that holds nothing will do."""
        self._get(name)

    def text(self, name: str) -> str:
        """Return a field that must be text with something in it, without the white space around it; a number is written out."""
        return self._text(name, self._get(name))

    def optional_text(self, name: str) -> str | None:
        """Return a field as ``text`` does, or None where it is missing or holds nothing."""
        return self.text(name) if self.holds(name) else None

    def texts(self, name: str, separator: str | None = None) -> tuple[str, ...]:
        """Return a field that must be one text or a list of texts; none where it holds nothing.

        ``separator`` parts one text into several, as in a cell of a CSV file; what is blank between two is left out.
        """
        value = self._get(name)
        if _is_nothing(value):
            return ()
        if isinstance(value, str) and separator is not None:
            value = [part for part in value.split(separator) if part.strip()]
        return tuple(self._text(name, item) for item in (value if isinstance(value, list) else [value]))

    def answers(self, name: str) -> tuple[str, ...]:
        """Return a field as ``texts`` does, with at least one text in it."""
        found = self.texts(name)
        if not found:
            raise self._wrong(name, "at least one answer", self._get(name))
        return found

    def whole_number(self, name: str) -> int:
        """Return a field that must be a whole number, or text that is one, as in a CSV file."""
        value = self._get(name)
        if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]+\s*", value):
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number", value)
        return value

    def rows(self, name: str) -> list["Row"]:
        """Return a field that must be a list of objects."""
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a list of objects", value)
        return [
            Row(f"{self.place}, {name}[{index}]", item, index + 1, self.stripped) for index, item in enumerate(value)
        ]

    def _get(self, name: str) -> Any:
        value = _at(self.fields, name)
        if value is _ABSENT:
            hint = nearest(name, list(_names(self.fields)))
            raise MalformedRow(self.place, f"the field {name!r} is missing; {hint}")
        return value

    def _text(self, name: str, value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(name, "text that is not empty", value)
        if re.search("[\ud800-\udfff]", value):
            raise self._wrong(name, "text made of whole characters", value)
        if value != value.strip() and name not in self.stripped:
            self.stripped.append(name)
        return value.strip()

    def _wrong(self, name: str, expected: str, value: Any) -> MalformedRow:
        return MalformedRow(self.place, f"field {name!r}: expected {expected}, found {value!r:.80}")


def bad_rows(source: Message, rows: Sequence[Malformed], way_out: Message) -> UserError:
    """Return the error that names every one of ``rows``, or the first of them and how many more there are."""
    if len(rows) == 1:
        return UserError((rows[0].problem, " (", way_out, ")"), about=rows[0].place)
    lines = "\n".join(["", *listed(rows)])
    return UserError((f"{len(rows)} malformed rows (", way_out, "):", lines), about=source)


def listed(rows: Sequence[Malformed]) -> list[str]:
    """Return a line for each row, for the first ``ROWS_NAMED`` of them, and one that counts the others."""
    lines = [f"  {row.place}: {row.problem}" for row in rows[:ROWS_NAMED]]
    more = len(rows) - ROWS_NAMED
    return [*lines, f"  ... and {more} more"] if more > 0 else lines


def parsed(rows: Iterable[Row | Malformed], parse: Callable[[Row], EditCase]) -> Iterator[EditCase | Malformed]:
    """Turn rows into cases with ``parse``; in the place of a row that it refuses stands what is wrong with the row."""
    return (row if isinstance(row, Malformed) else _parsed(row, parse) for row in rows)


def _parsed(row: Row, parse: Callable[[Row], EditCase]) -> EditCase | Malformed:
    try:
        case = parse(row)
        tags = {STRAY_WHITE_SPACE: ", ".join(row.stripped), **case.tags} if row.stripped else case.tags
        return case.model_copy(update={"tags": tags})
    except MalformedRow as error:
        return Malformed(place=error.place, problem=error.problem)


def edit_request(row: Row) -> EditRequest:
    """Read one fact from a row with the fields of ``EditRequest``. Raises ``MalformedRow``."""
    return EditRequest(
        prompt=row.text("prompt"),
        target=row.text("target"),
        subject=row.optional_text("subject"),
        aliases=row.texts("aliases") if row.holds("aliases") else (),
        ground_truth=row.optional_text("ground_truth"),
    )


def _at(fields: Mapping[str, Any], name: str) -> Any:
    if name in fields:
        return fields[name]
    head, _, rest = name.partition(".")
    inner = fields.get(head)
    return _at(inner, rest) if rest and isinstance(inner, Mapping) else _ABSENT


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in _names(value))


def _is_nothing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or value in ([], {}) or (isinstance(value, float) and math.isnan(value))
