"""Reading a dataset's file: rows whose fields are checked one by one, so that an error names file, row and field."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildcore.errors import UserError, nearest


@dataclass(frozen=True)
class Row:
    """One row of a file. ``place`` says where it stands."""

    place: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a field that must be text with something in it; white space around it is removed."""
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(name, "text that is not empty", value)
        return value.strip()

    def whole_number(self, name: str) -> int:
        """Return a field that must be a whole number."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number", value)
        return value

    def rows(self, name: str) -> list["Row"]:
        """Return a field that must be a list of objects."""
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a list of objects", value)
        return [Row(f"{self.place}, {name}[{index}]", item) for index, item in enumerate(value)]

    def _get(self, name: str) -> Any:
        if name not in self.fields:
            raise UserError(f"{self.place}: the field {name!r} is missing; {nearest(name, list(self.fields))}")
        return self.fields[name]

    def _wrong(self, name: str, expected: str, value: Any) -> UserError:
        return UserError(f"{self.place}: field {name!r}: expected {expected}, found {value!r:.80}")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON list or a JSON Lines file. Raises ``UserError`` naming file, line and what is wrong."""
    text = _read(path)
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield _row(f"{path}, line {number}", _parse(path, line, number))
        return
    content = _parse(path, text, 1)
    if not isinstance(content, list):
        raise UserError(f"{path}: expected a JSON list of rows, found {type(content).__name__}")
    for number, item in enumerate(content, start=1):
        yield _row(f"{path}, row {number}", item)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"dataset.path={path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"dataset.path={path}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def _parse(path: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise UserError(f"{path}, line {line}, column {error.colno}: not valid JSON: {error.msg}") from error


def _row(place: str, item: Any) -> Row:
    if not isinstance(item, dict):
        raise UserError(f"{place}: expected an object with fields, found {type(item).__name__}")
    return Row(place, item)
