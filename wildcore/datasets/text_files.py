"""Text files as they are found: their encoding is recognised, and their lines are counted as an editor counts them."""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path

from wildcore.bounded import ROW_CHARACTERS
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

PIECE = 65_536
"""Most bytes, or characters of a wide encoding, that are read at once."""

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
    if max(even, odd) <= len(start) / 8 or min(even, odd) > max(even, odd) / 2:  # NUL characters are among both
        return "utf-8"
    return "utf-16-le" if odd > even else "utf-16-be"


def lines(path: Path, file: BufferedReader, reading: Reading) -> Iterator[str]:
    """Yield the lines of a text file with their ends: a line feed, a carriage return, or both.

    Of a line of more than ``ROW_CHARACTERS`` only that many characters and one more are yielded, so that its length tells. An
    encoding other than UTF-8 is noted. Raises ``UserError`` naming the line that is not text.
    """
    kept: list[str] = []
    size = 0
    for piece in pieces(path, file, reading):
        kept.append(piece[: max(0, ROW_CHARACTERS + 1 - size)])
        size += len(piece)
        if piece.endswith(("\n", "\r")):
            yield "".join(kept)
            kept, size = [], 0
    if kept:
        yield "".join(kept)


def pieces(path: Path, file: BufferedReader, reading: Reading) -> Iterator[str]:
    """Yield the lines of a text file as ``lines`` does, but a long line in pieces, of which the last has the line's end."""
    encoding = encoding_of(file)
    if encoding.startswith("utf-8"):
        return _utf8_pieces(path, file)
    reading.form.append(f"{path}: read as {encoding[:6].upper()}")
    return _wide_pieces(path, file, encoding)


def _utf8_pieces(path: Path, file: BufferedReader) -> Iterator[str]:
    lines_before = bytes_before = 0  # the latter in a line that is not at its end
    if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
        file.read(len(codecs.BOM_UTF8))
    left = b""
    while content := left + (new := file.readline(PIECE)):
        goes_on = new and not new.endswith(b"\n")
        whole = content[: len(content) - _unfinished(content)] if goes_on else content
        left = content[len(whole) :]
        try:
            text = whole.decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(path, lines_before, bytes_before, error) from error
        for piece in LINE.findall(text):
            ends = piece.endswith(("\n", "\r"))
            lines_before += ends
            bytes_before = 0 if ends else bytes_before + len(piece.encode())
            yield piece


def _unfinished(content: bytes) -> int:
    """Return how many bytes at the end belong to what may go on: a character, or a carriage return before a line feed."""
    if content.endswith(b"\r"):
        return 1
    for count, byte in enumerate(reversed(content[-3:]), start=1):
        if byte >= 0xC0:  # the first byte of a character
            return count if count < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else 0
        if byte < 0x80:
            return 0
    return 0


def _not_utf8(path: Path, lines_before: int, bytes_before: int, error: UnicodeDecodeError) -> UserError:
    before, byte = error.object[: error.start], error.object[error.start : error.start + 1]
    line, place = lines_before + 1 + before.count(b"\r"), error.start - (before.rfind(b"\r") + 1)
    if b"\r" not in before:
        place += bytes_before
    character = byte.decode("cp1252", errors="replace")
    guess = "" if character == "\ufffd" else f"; byte 0x{byte.hex()} is {character!r} in Windows-1252"
    problem = f"not UTF-8 text: {error.reason} at byte {place} of the line{guess}"
    return UserError(problem, Place(path, line), "save the file as UTF-8")


def _wide_pieces(path: Path, file: BufferedReader, encoding: str) -> Iterator[str]:
    count = 0
    text, left = TextIOWrapper(file, encoding=encoding, newline=""), ""
    try:
        while piece := left + text.readline(PIECE):
            left = text.read(1) if piece.endswith("\r") else ""
            if left == "\n":
                piece, left = piece + left, ""
            count += piece.endswith(("\n", "\r"))
            yield piece
    except UnicodeDecodeError as error:
        name = encoding[:6].upper()
        raise UserError(f"not {name} text: {error.reason}", Place(path, count + 1), "save the file as UTF-8") from error
