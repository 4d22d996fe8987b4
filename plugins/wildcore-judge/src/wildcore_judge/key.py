"""The server's key: read from the environment, sent to the server, and kept out of everything else."""

import binascii
import html
import os
import re
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from string import ascii_uppercase

from wildcore import Setting, UserError

SHORTEST_SECRET = 8
"""A shorter key is a placeholder word for a local server; hiding it would make messages unreadable."""
SHORTEST_PART = 12
"""A part of the key of at least this length is hidden too. Keys consist of about 64 different characters, so text that is not
from the key agrees with 12 of them by chance once in 2**72 places, while words such as "deepseek" and "sk-proj-" stay legible.
Keys of public servers have 32 characters and more, so half of one is longer than this."""
HIDDEN = "[key]"
SPACES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\xad\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d"
    "\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
"""White space and characters without width, which may be put within a key."""
COMPACT = {ord(char): None for char in SPACES} | {ord(char): char.lower() for char in ascii_uppercase}
"""Removes ``SPACES`` from a text and makes letters small."""
ESCAPE = re.compile(
    r"&(?:amp;)*(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});?"
    r"|%(?:25)*[0-9a-fA-F]{2}"
    r"|\\+(?:u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrt]|[^\w\s])"
)
"""One character as HTML, an address or a string of a programming language escapes it, perhaps twice."""
WHITE_SPACE = {"n": "\n", "r": "\r", "t": "\t"}
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}(?:\r?\n[A-Za-z0-9+/_-]+)*={0,2}")
HEXADECIMAL = re.compile(r"[0-9a-fA-F]{16,}")
Decode = Callable[[str], Iterator[str]]
LAYERS = 2
"""Encodings within each other that are looked through. A text with the key below the first is left out altogether."""


@dataclass(frozen=True)
class Key:
    """A key, or the placeholder for servers without keys."""

    value: str = field(default="none", repr=False)
    source: str = "no key"

    def scrub(self, text: str) -> str:
        """Return ``text`` without the key and without long parts of it, in capital or small letters, with white space in it, as
        it is or escaped for JSON, HTML or an address, or in base64 or hexadecimal.
        """
        if len(self.value) < SHORTEST_SECRET:
            return text
        text = self._without_parts(text, text, lambda index: index)
        plain = Unescaped(text)
        text = self._without_parts(text, plain.text, plain.place)
        for encoded, decode in ENCODINGS:
            text = encoded.sub(partial(self._without, decode), text)
        return HIDDEN if self._is_in(text, LAYERS) else text

    @cached_property
    def _parts(self) -> frozenset[str]:
        """All parts of the key of the shortest length that is hidden, in small letters."""
        size, value = self._part_length, self.value.translate(COMPACT)
        return frozenset(value[start : start + size] for start in range(len(value) - size + 1))

    @property
    def _part_length(self) -> int:
        return min(SHORTEST_PART, len(self.value))

    def _starts(self, compact: str) -> Iterator[int]:
        """Yield each place at which a part of the key begins in a text without spaces and capital letters."""
        size, parts = self._part_length, self._parts
        return (start for start in range(len(compact) - size + 1) if compact[start : start + size] in parts)

    def _holds(self, text: str) -> bool:
        """Return whether a text holds a part of the key as it is."""
        return any(True for _ in self._starts(text.translate(COMPACT)))

    def _without_parts(self, original: str, plain: str, place: Callable[[int], int]) -> str:
        """Return ``original`` without the parts of the key that ``plain`` holds; ``place`` leads from one to the other."""
        pieces, done = [], 0
        for start, end in self._spans(plain):
            pieces += [original[done : place(start)], HIDDEN]
            done = place(end)
        return "".join([*pieces, original[done:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where runs of parts of the key begin and end in a text."""
        found = list(self._starts(text.translate(COMPACT)))
        if not found:
            return
        places = [place for place, char in enumerate(text) if char not in SPACES]
        size, begin = self._part_length, found[0]
        for start, following in zip(found, [*found[1:], None], strict=True):
            if following is None or following > start + size:
                yield places[begin], places[start + size - 1] + 1
                begin = following if following is not None else begin

    def _without(self, decode: Decode, run: re.Match[str]) -> str:
        return HIDDEN if any(map(self._holds, decode(run.group()))) else run.group()

    def _is_in(self, text: str, layers: int) -> bool:
        """Return whether a part of the key is in a text, below at most ``layers`` encodings."""
        if self._holds(text):
            return True
        if not layers:
            return False
        below = [plain] if (plain := Unescaped(text).text) != text else []
        below += [found for encoded, decode in ENCODINGS for run in encoded.findall(text) for found in decode(run)]
        return any(self._is_in(inner, layers - 1) for inner in below)


class Unescaped:
    """A text without escapes, and the place in the original of each of its characters."""

    def __init__(self, original: str) -> None:
        pieces: list[str] = []
        self._starts, self._places = [0], [0]
        done = length = 0
        for found in ESCAPE.finditer(original):
            char = _unescaped(found.group())
            if char is None:
                continue
            pieces += [original[done : found.start()], char]
            length += found.start() - done
            done = found.end()
            self._starts += [length, length + 1]
            self._places += [found.start(), done]
            length += 1
        self.text = "".join([*pieces, original[done:]])

    def place(self, index: int) -> int:
        """Return the place in the original text of the character ``index`` of ``text``, or of the end."""
        segment = bisect_right(self._starts, index) - 1
        return self._places[segment] + index - self._starts[segment]


def _unescaped(escape: str) -> str | None:
    """Return the character that an escape stands for. None: it is neither one of ASCII nor one of ``SPACES``."""
    if escape[0] == "&":
        char = html.unescape("&" + escape[1:].replace("amp;", "").rstrip(";") + ";")
    elif escape[0] == "%":
        char = chr(int(escape[-2:], 16))
    else:
        kind = escape.lstrip("\\") or "\\"
        digits = kind[1:].strip("{}")
        char = chr(min(int(digits, 16), 0x10FFFF)) if digits else WHITE_SPACE.get(kind, kind)
    return char if len(char) == 1 and (char.isascii() or char in SPACES) else None


def _from_base64(run: str) -> Iterator[str]:
    """Yield what a run of base64 decodes to, from each place at which a group of four may begin."""
    digits = "".join(run.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    for start in range(4):
        group = digits[start:]
        yield b64decode(group[: len(group) - (len(group) % 4 == 1)] + "==").decode("latin-1")


def _from_hexadecimal(run: str) -> Iterator[str]:
    for digits in (run, run[1:]):
        yield binascii.unhexlify(digits[: len(digits) // 2 * 2]).decode("latin-1")


ENCODINGS: tuple[tuple[re.Pattern[str], Decode], ...] = (
    (BASE64, _from_base64),
    (HEXADECIMAL, _from_hexadecimal),
)


def read_key(variable: str | None, needed: bool) -> Key:
    """Read the key from an environment variable. Raises ``UserError`` if one is needed and missing, or cannot be sent."""
    value = os.environ.get(variable, "").strip() if variable else ""
    if not value:
        if needed:
            place = f"the environment variable {variable}" if variable else "metric.judge.key_variable=null"
            raise UserError(
                f"OpenAI's server needs a key, and there is none in {place}",
                "metric judge",
                (
                    "set it, or name another variable with ",
                    Setting("metric.judge.key_variable", "NAME"),
                    " or another server with ",
                    Setting("metric.judge.base_url", "URL"),
                ),
            )
        return Key()
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise UserError(
            "its value is no key: it holds characters that cannot be sent", about=f"environment variable {variable}"
        )
    return Key(value, f"the key in {variable}")
