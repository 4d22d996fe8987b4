"""Text files as they are found: their encoding is recognised, and their lines are counted as an editor counts them."""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path

from wildcore.datasets.reading import Reading
from wildcore.errors import Parameter, Place, UserError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, each with the encoding that reads and removes it."""

PEEKED = 64
"""Number of bytes from which an encoding without a mark is recognised."""

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading. Raises ``UserError`` if that is impossible."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", Parameter("dataset.path", path)) from error
    with file:
        yield file


def encoding_of(file: BufferedReader) -> str:
    """Return the encoding of a text file by its first bytes, which are not consumed; UTF-8 unless it is UTF-16 or UTF-32."""
    start = file.peek(PEEKED)[:PEEKED]
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return encoding
    even, odd = start[0::2].count(0), start[1::2].count(0)  # the high bytes of ASCII characters are zero in UTF-16
    if max(even, odd) <= len(start) / 8:
        return "utf-8"
    return "utf-16-le" if odd > even else "utf-16-be"


def lines(path: Path, file: BufferedReader, reading: Reading) -> Iterator[str]:
    """Yield the lines of a text file with their ends: a line feed, a carriage return, or both.

    An encoding other than UTF-8 is noted. Raises ``UserError`` naming the line that is not text.
    """
    encoding = encoding_of(file)
    if encoding.startswith("utf-8"):
        return _utf8_lines(path, file)
    reading.form.append(f"{path}: read as {encoding[:6].upper()}")
    return _wide_lines(path, file, encoding)


def _utf8_lines(path: Path, file: BufferedReader) -> Iterator[str]:
    count = 0
    for content in file:
        if count == 0:
            content = content.removeprefix(codecs.BOM_UTF8)
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(path, count, error) from error
        for line_text in LINE.findall(text):
            count += 1
            yield line_text


def _not_utf8(path: Path, lines_before: int, error: UnicodeDecodeError) -> UserError:
    before, byte = error.object[: error.start], error.object[error.start : error.start + 1]
    line, place = lines_before + 1 + before.count(b"\r"), error.start - (before.rfind(b"\r") + 1)
    character = byte.decode("cp1252", errors="replace")
    guess = "" if character == "\ufffd" else f"; byte 0x{byte.hex()} is {character!r} in Windows-1252"
    problem = f"not UTF-8 text: {error.reason} at byte {place} of the line{guess}"
    return UserError(problem, Place(path, line), "save the file as UTF-8")


def _wide_lines(path: Path, file: BufferedReader, encoding: str) -> Iterator[str]:
    count = 0
    try:
        for line in TextIOWrapper(file, encoding=encoding, newline=""):
            count += 1
            yield line
    except UnicodeDecodeError as error:
        name = encoding[:6].upper()
        raise UserError(f"not {name} text: {error.reason}", Place(path, count + 1), "save the file as UTF-8") from error
