"""The rows of a dataset. Fields are checked one by one, so that a problem is reported with the row's place and the field."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from wildcore.bounded import CONTROL, INTEGER_DIGITS
from wildcore.datasets.json_rows import Unreadable
from wildcore.datasets.reading import EMPTIED, KEPT, LIST, MISSING_VALUES, TEMPLATE, Reading
from wildcore.datasets.values import as_written, decoded, decoded_texts, flat, is_nothing, plain
from wildcore.errors import Message, UserError, suggestion
from wildcore.types import EditCase, EditRequest, Malformed

STRAY_WHITE_SPACE = "stray-white-space"
"""Tag of a case: the fields of its row whose text was surrounded by white space, which is removed."""

ROWS_NAMED = 20
"""Most rows named in one message."""

BLANK = "{}"
"""Placeholder for the subject in a prompt."""

NAMES_SUGGESTED = 100
"""Most names among which the one is sought that a missing field's name resembles."""

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

    A field's name may be a path into objects and lists, such as ``requested_rewrite.subject`` or ``answers.0.text``;
    ``answers.text`` stands for the field of each element of a list. A text that contains a list or an object, as in a cell of
    a CSV file, is read as one. A field is empty if it is null, not a number, blank text, an empty list or object, a text that
    stands for a missing value, or beyond the end of a list. Every method except ``holds`` raises ``MalformedRow``.
    """

    place: str
    fields: Mapping[str, Any]
    number: int = 1
    stripped: list[str] = field(default_factory=list, compare=False)
    """Names of the fields read so far whose text was surrounded by white space. Rows within a row share the list."""

    reading: Reading = field(default_factory=Reading, compare=False)
    """How values are read, and what was noticed. All rows of a source share it."""

    def holds(self, name: str) -> bool:
        """Return whether the row has this field and the field is not empty."""
        value = value_at(self.fields, name)
        return value is not _ABSENT and not self._is_empty(name, value)

    def require(self, name: str) -> None:
        """Raise ``MalformedRow`` if the field is missing. An empty field is accepted."""
        self._get(name)

    def text(self, name: str) -> str:
        """Return a field that must be non-empty text, without surrounding white space. A number, a date or a truth value is
        converted to text.
        """
        return self._text(name, self._get(name))

    def optional_text(self, name: str) -> str | None:
        """Return a field as ``text`` does, or None if it is missing or empty."""
        return self.text(name) if self.holds(name) else None

    def texts(self, name: str, separator: str | None = None) -> tuple[str, ...]:
        """Return a field that must be one text or a list of texts; an empty tuple if the field is empty.

        ``separator`` splits one text into several, as in a cell of a CSV file; blank parts are left out.
        """
        return tuple(self._text(name, item) for item in self._items(name, separator))

    def grouped(self, name: str, separator: str | None = None) -> list[tuple[str, ...]]:
        """Return a field as ``texts`` does, but an element of the list may itself be a list of texts."""
        items = self._items(name, separator)
        return [tuple(self._text(name, text) for text in flat(_listed(item))) for item in items]

    def _items(self, name: str, separator: str | None) -> list[Any]:
        value = self._get(name)
        if self._is_empty(name, value):
            return []
        if isinstance(value, str) and (found := decoded_texts(value)) is not None:
            self.reading.notice(LIST, self._at(name))
            value = found
        elif isinstance(value, str) and separator is not None:
            value = [part for part in value.split(separator) if part.strip()]
        return _listed(value)

    def answers(self, name: str) -> tuple[str, ...]:
        """Return a field as ``texts`` does; it must have at least one text."""
        found = self.texts(name)
        if not found:
            raise self._wrong(name, "at least one answer", self._get(name))
        return found

    def filled(self, name: str, text: str, subject: str | None) -> str:
        """Return ``text``, in which "{}" stands for the subject unless the text contains the subject itself.

        Raises ``MalformedRow`` if there is a "{}" and no subject.
        """
        if BLANK not in text or (subject and subject in text):
            return text
        if not subject:
            raise MalformedRow(self.place, f"field {name!r}: {{}} stands for the subject, and the row has none")
        self.reading.notice(TEMPLATE, self._at(name))
        return text.replace(BLANK, subject)

    def whole_number(self, name: str) -> int:
        """Return a field that must be an integer, or text that represents one, as in a CSV file."""
        value = self._get(name)
        if isinstance(value, str) and re.fullmatch(rf"\s*-?[0-9]{{1,{INTEGER_DIGITS}}}\s*", value):
            return int(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number", value)
        return value

    def names_in(self, name: str) -> tuple[str, ...]:
        """Return the names of the fields in an object; an empty tuple if the field is missing or is not an object."""
        value = value_at(self.fields, name)
        found = decoded(value) if isinstance(value, str) else value
        return tuple(found) if isinstance(found, Mapping) else ()

    def rows(self, name: str, or_one: bool = False) -> list["Row"]:
        """Return a field that must be a list of objects; with ``or_one`` an object alone stands for a list of one."""
        value = self._get(name)
        found = decoded(value) if isinstance(value, str) else value
        if or_one and isinstance(found, dict):
            found = [found]
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._wrong(name, "a list of objects", value)
        return [
            Row(f"{self.place}, {name}[{index}]", item, index + 1, self.stripped, self.reading)
            for index, item in enumerate(found)
        ]

    def _get(self, name: str) -> Any:
        value = value_at(self.fields, name)
        if value is _ABSENT:
            hint = suggestion(name, list(islice(_names(self.fields), NAMES_SUGGESTED)))
            raise MalformedRow(self.place, f"the field {name!r} is missing; {hint}")
        return value

    def _is_empty(self, name: str, value: Any) -> bool:
        """Return whether a value is empty; a text that stands for a missing value is noticed."""
        if isinstance(value, str) and value.strip() in self.reading.missing_values:
            self.reading.notice(EMPTIED, f"{self._at(name)}: {value.strip()}")
            return True
        return is_nothing(value)

    def _text(self, name: str, value: Any) -> str:
        text = self._written(name, value)
        if text is None or not text.strip() or text.strip() in self.reading.missing_values:
            raise self._wrong(name, "text that is not empty", value)
        if re.search("[\ud800-\udfff]", text):
            raise self._wrong(name, "text made of whole characters", value)
        if CONTROL.search(text.strip()):
            raise self._wrong(name, "text without control characters", value)
        if text != text.strip() and name not in self.stripped:
            self.stripped.append(name)
        text = text.strip()
        if text in MISSING_VALUES:
            self.reading.notice(KEPT, f"{self._at(name)}: {text}")
        return text

    def _written(self, name: str, value: Any) -> str | None:
        """Return a value as text, or None if it cannot be written as one."""
        if not self.reading.plain_values:
            return as_written(value)
        text, change = plain(value) or (None, None)
        if change is not None:
            self.reading.notice(change, f"{self._at(name)}: {value} as {text}")
        return text

    def _at(self, name: str) -> str:
        return f"{self.place}, field {name!r}"

    def _wrong(self, name: str, expected: str, value: Any) -> MalformedRow:
        if isinstance(value, Unreadable):
            return MalformedRow(self.place, f"field {name!r}: {value.problem}")
        is_mark = isinstance(value, str) and value.strip() in self.reading.missing_values
        meaning = ", which stands for a missing value" if is_mark else ""
        return MalformedRow(self.place, f"field {name!r}: expected {expected}, found {value!r:.80}{meaning}")


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
    return parsed_all(rows, lambda row: [parse(row)])


def parsed_all(
    rows: Iterable[Row | Malformed], parse: Callable[[Row], Iterable[EditCase]]
) -> Iterator[EditCase | Malformed]:
    """Turn rows into cases as ``parsed`` does; ``parse`` returns the cases of a row, of which there may be any number."""
    for row in rows:
        if isinstance(row, Malformed):
            yield row
        else:
            yield from _parsed(row, parse)


def _parsed(row: Row, parse: Callable[[Row], Iterable[EditCase]]) -> list[EditCase | Malformed]:
    try:
        cases = list(parse(row))
    except MalformedRow as error:
        return [Malformed(place=error.place, problem=error.problem)]
    stray = {STRAY_WHITE_SPACE: ", ".join(row.stripped)} if row.stripped else {}
    return [case.model_copy(update={"tags": {**stray, **case.tags}}) for case in cases]


def edit_request(row: Row) -> EditRequest:
    """Read one fact from a row with the fields of ``EditRequest``. Raises ``MalformedRow``.

    A target may be a list of answers: the first is the target, the others are aliases. "{}" in the prompt stands for the
    subject.
    """
    prompt, subject = row.text("prompt"), row.optional_text("subject")
    target, *others = row.answers("target")
    return EditRequest(
        prompt=row.filled("prompt", prompt, subject),
        target=target,
        subject=subject,
        aliases=distinct([*others, *(row.texts("aliases") if row.holds("aliases") else ())], target),
        ground_truth=row.optional_text("ground_truth"),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def distinct(aliases: Iterable[str], target: str) -> tuple[str, ...]:
    """Return ``aliases``, each once and without the target."""
    return tuple(alias for alias in dict.fromkeys(aliases) if alias != target)


def value_at(value: Any, path: str) -> Any:
    """Return what stands at ``path`` in objects and lists; ``_ABSENT`` if there is no such field.

    A number selects an element of a list, or None beyond its end. A name selects that field of every element.
    """
    if isinstance(value, str):
        value = decoded(value)
    if isinstance(value, Mapping):
        return _field_at(value, path)
    if not isinstance(value, list):
        return _ABSENT
    head, _, rest = path.partition(".")
    if head.isdecimal():
        element = value[int(head)] if int(head) < len(value) else None
        return value_at(element, rest) if rest and element is not None else element
    found = [value_at(element, path) for element in value]
    return _ABSENT if any(element is _ABSENT for element in found) else found


def _field_at(fields: Mapping[str, Any], path: str) -> Any:
    if path in fields:
        return fields[path]
    head, _, rest = path.partition(".")
    return value_at(fields[head], rest) if rest and head in fields else _ABSENT


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of all fields; those of a list are the paths of its first element."""
    for name, value in fields.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in _names(value))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield from (f"{name}.0.{inner}" for inner in _names(value[0]))
