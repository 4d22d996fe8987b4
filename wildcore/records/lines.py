"""Files with a JSON record on each line: appended durably, each with a checksum, mended after a crash or damage."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from json import JSONDecoder
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from wildcore.bounded import JSON_CHARACTERS, VALUES, require_plain
from wildcore.errors import Message, Place, UserError, in_one_line
from wildcore.storage.checksums import sealed, unsealed
from wildcore.storage.durable import make_durable, not_through_links, replacing
from wildcore.types import FrozenData

R = TypeVar("R", bound=FrozenData)

FIRST_FIELD = re.compile(r'\s*{\s*"case"\s*:\s*(?=")')
SECOND_FIELD = re.compile(r'\s*,\s*"after_edits"\s*:\s*([0-9]{1,18})\b')
PIECE = 1 << 20
"""Bytes of a longer line that are read at once."""
LINE_BYTES = JSON_CHARACTERS
"""Most bytes of a line; a longer one is damaged."""

Key = tuple[str, int | None]
"""What tells the lines of a journal apart: the case, and after how many edits it was evaluated."""


class Line(NamedTuple):
    """A line of a file: its number from 1, its text, of which at most one byte more than ``LINE_BYTES`` and its end are kept,
    and its size in bytes.
    """

    number: int
    text: bytes
    size: int


@dataclass(frozen=True)
class Mended:
    """What was removed from a file: the bytes of a half-written last line, and the number of damaged lines.

    ``first`` says where the first damaged line was and what was wrong with it.
    """

    half: int = 0
    damaged: int = 0
    first: str = ""


def line_of(record: FrozenData) -> str:
    """Return the line of a record, with its checksum and its end."""
    return sealed(record.model_dump_json()) + "\n"


def append_line(path: Path, record: FrozenData) -> None:
    """Append a record to a file. Raises ``OSError`` if that fails, and then leaves no part of the line.

    A link is not followed.
    """
    line = memoryview(line_of(record).encode())
    with open(path, "ab", buffering=0, opener=not_through_links) as stream:
        end = stream.tell()
        try:
            while line:
                line = line[os.write(stream.fileno(), line) :]
            os.fsync(stream.fileno())
        except BaseException:
            with suppress(OSError):  # the half-written line has no end, so readers ignore it
                stream.truncate(end)
            raise
    if end == 0:
        make_durable(path.parent)


def read_lines(path: Path, model: type[R], way_out: Message, appended: bool = True) -> Iterator[R]:
    """Read a file; one that does not exist is empty. In a file that is ``appended`` to, a last line without an end is ignored.

    Raises ``UserError`` with the ``way_out`` for a damaged line, which in other files a line without an end is too.
    """
    for number, line, _ in _lines(path):
        if appended and not line.endswith(b"\n"):
            return
        try:
            yield _record(line, model)
        except ValueError as error:
            raise UserError(_reason(error), Place(path, number), way_out) from error


def keys_named(path: Path) -> Iterator[Key | None]:
    """Read only which case each line is of, and after how many edits (None: the case cannot be told)."""
    for _, line, _ in whole_lines(path):
        text = line.decode(errors="replace")
        begins = FIRST_FIELD.match(text)
        try:
            case, end = JSONDecoder().raw_decode(text, begins.end()) if begins else (None, 0)
            require_plain(case)
        except ValueError:
            case, end = None, 0
        edits = SECOND_FIELD.match(text, end)
        yield None if case is None else (case, int(edits[1]) if edits else None)


def mend_lines(path: Path, model: type[FrozenData]) -> Mended:
    """Remove a half-written last line and every damaged line. Raises ``OSError`` if that fails."""
    problems: dict[int, str] = {}
    size = 0
    for number, line, bytes_of_line in whole_lines(path):
        size += bytes_of_line
        try:
            _record(line, model)
        except ValueError as error:
            problems[number] = f"line {number}: {_reason(error)}"
    half = path.stat().st_size - size if path.exists() else 0
    if problems:
        with replacing(path) as unfinished, unfinished.open("wb") as stream:
            stream.writelines(line for number, line, _ in whole_lines(path) if number not in problems)
    elif half:
        with open(path, "r+b", opener=not_through_links) as stream:
            stream.truncate(size)
            os.fsync(stream.fileno())
    return Mended(half, len(problems), next(iter(problems.values()), ""))


def whole_lines(path: Path) -> Iterator[Line]:
    """Yield each line that has an end."""
    return (line for line in _lines(path) if line.text.endswith(b"\n"))


def _lines(path: Path) -> Iterator[Line]:
    """Yield each line. A link is not followed, but raises ``OSError``."""
    try:
        stream = open(path, "rb", opener=not_through_links)  # noqa: SIM115
    except FileNotFoundError:
        return
    with stream:
        number = 0
        while line := stream.readline(LINE_BYTES + 1):
            number += 1
            size, end = len(line), line[-1:]
            while end != b"\n" and (more := stream.readline(PIECE)):
                size, end = size + len(more), more[-1:]
            yield Line(number, line + end if size > len(line) and end == b"\n" else line, size)


def _record(line: bytes, model: type[R]) -> R:
    """Return the record of a line. Raises ``ValueError`` if it is damaged or has no end."""
    if not line.endswith(b"\n"):
        raise ValueError("it is cut off")
    if len(line) > LINE_BYTES or line.count(b",") + line.count(b"[") + line.count(b"{") > VALUES:
        raise ValueError(f"too large: more than {LINE_BYTES:,} bytes or {VALUES:,} values")
    return model.model_validate_json(unsealed(line))


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"]) or "line"
    return in_one_line(f"{place}: {problem['msg']}")
