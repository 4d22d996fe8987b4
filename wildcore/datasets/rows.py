"""The rows of a dataset. Fields are checked one by one, so that a problem is reported with the row's place and the field."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wildcore.errors import Message, UserError, suggestion
from wildcore.types import EditCase, EditRequest, Malformed

STRAY_WHITE_SPACE = "stray-white-space"
"""Tag of a case: the fields of its row whose text was surrounded by white space, which is removed."""

ROWS_NAMED = 20
"""Most rows named in one message."""

_ABSENT = object()


class MalformedRow(UserError):
    """Raised for a row from which no case can be made; it has the row's place and the problem."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(problem, about=place)
        self.place = place
        self.problem: str = problem


@dataclass(frozen=True)
class Row:
    """One row of a source. ``place`` says where it is; ``number`` counts the source's rows from 1, including malformed ones.

    A field's name may be a path into objects, such as ``requested_rewrite.subject``. A field is empty if it is null, not a
    number, blank text, or an empty list or object. Every method except ``holds`` raises ``MalformedRow``.
    """

    place: str
    fields: Mapping[str, Any]
    number: int = 1
    stripped: list[str] = field(default_factory=list, compare=False)
    """Names of the fields read so far whose text was surrounded by white space. Rows within a row share the list."""

    def holds(self, name: str) -> bool:
        """Return whether the row has this field and the field is not empty."""
        value = _at(self.fields, name)
        return value is not _ABSENT and not _is_nothing(value)

    def require(self, name: str) -> None:
        """Raise ``MalformedRow`` if the field is missing. An empty field is accepted."""
        self._get(name)

    def text(self, name: str) -> str:
        """Return a field that must be non-empty text, without surrounding white space. A number is converted to text."""
        return self._text(name, self._get(name))

    def optional_text(self, name: str) -> str | None:
        """Return a field as ``text`` does, or None if it is missing or empty."""
        return self.text(name) if self.holds(name) else None

    def texts(self, name: str, separator: str | None = None) -> tuple[str, ...]:
        """Return a field that must be one text or a list of texts; an empty tuple if the field is empty.

        ``separator`` splits one text into several, as in a cell of a CSV file; blank parts are left out.
        """
        value = self._get(name)
        if _is_nothing(value):
            return ()
        if isinstance(value, str) and separator is not None:
            value = [part for part in value.split(separator) if part.strip()]
        return tuple(self._text(name, item) for item in (value if isinstance(value, list) else [value]))

    def answers(self, name: str) -> tuple[str, ...]:
        """Return a field as ``texts`` does; it must have at least one text."""
        found = self.texts(name)
        if not found:
            raise self._wrong(name, "at least one answer", self._get(name))
        return found

    def whole_number(self, name: str) -> int:
        """Return a field that must be an integer, or text that represents one, as in a CSV file."""
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
            hint = suggestion(name, list(_names(self.fields)))
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
    """Return the error that names every one of ``rows``, or the first of them and the number of the others."""
    if len(rows) == 1:
        return UserError((rows[0].problem, " (", way_out, ")"), about=rows[0].place)
    lines = "\n".join(["", *listed(rows)])
    return UserError((f"{len(rows)} malformed rows (", way_out, "):", lines), about=source)


def listed(rows: Sequence[Malformed]) -> list[str]:
    """Return a line for each of the first ``ROWS_NAMED`` rows, and one line with the number of the others."""
    lines = [f"  {row.place}: {row.problem}" for row in rows[:ROWS_NAMED]]
    more = len(rows) - ROWS_NAMED
    return [*lines, f"  ... and {more} more"] if more > 0 else lines


def parsed(rows: Iterable[Row | Malformed], parse: Callable[[Row], EditCase]) -> Iterator[EditCase | Malformed]:
    """Turn rows into cases with ``parse``. A row that ``parse`` refuses is yielded as ``Malformed``."""
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
