"""Texts that are equal in Unicode (canonical equivalence, UAX #15), and texts that only look the same."""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

APOSTROPHES = "\u2018\u2019\u201a\u201b\u02bc\u02bb\u02b9\u2032\u2035\u00b4`\u05f3\ua78c"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\u02d7\ufe58\ufe63\u058a\u2500"
QUOTES = "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u05f4"
INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe0f\ufeff"
LOOKALIKES = str.maketrans(
    {
        **dict.fromkeys(APOSTROPHES, "'"),
        **dict.fromkeys(DASHES, "-"),
        **dict.fromkeys(QUOTES, '"'),
        "\u2044": "/",
        "\u2215": "/",
        "\u30fb": "\u00b7",
        "\u2022": "\u00b7",
        "\u2219": "\u00b7",
        "\u22c5": "\u00b7",
    }
)
INVISIBLE_CHARACTER = re.compile(f"[{INVISIBLE}]")
HOMOGLYPHS = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456"
    "\u0455\u0458\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf",
    "ABEKMHOPCTXaeopcyxisjABEZHIKMNOPTYXo",
)
"""Cyrillic and Greek letters that look like Latin ones."""


def canonical(text: str) -> str:
    """Return ``text`` in Unicode's form NFC, which is the same for all texts that are equal in Unicode."""
    return unicodedata.normalize("NFC", text)


def canonically_equal(one: str, other: str) -> bool:
    """Return whether two texts are equal in Unicode."""
    return one == other or canonical(one) == canonical(other)


def differ_only_in_form(one: str, other: str) -> bool:
    """Return whether two texts are equal in Unicode but written with different characters, such as "\u00e9" and "e\u0301".

    Their token ids then differ too, so that these say nothing about whether the texts are equal.
    """
    return one != other and canonical(one) == canonical(other)


def fold_lookalikes(text: str) -> str:
    """Return ``text`` with characters that look alike made the same: apostrophes, quotation marks, dashes, full and half
    width, spaces and invisible characters.

    Compatibility forms (NFKC) are the same too. Letters of different scripts stay different.
    """
    return unicodedata.normalize("NFKC", INVISIBLE_CHARACTER.sub("", canonical(text).translate(LOOKALIKES))).translate(
        LOOKALIKES
    )


def find_last(text: str, wanted: str) -> tuple[int, int] | None:
    """Return the character range in ``text`` of the last occurrence of a text that is equal to ``wanted`` in Unicode.

    None: there is none, or ``wanted`` is empty.
    """
    return next(_found(text, wanted, canonical), None)


def count_occurrences(text: str, wanted: str) -> int:
    """Return how often a text that is equal to ``wanted`` in Unicode occurs in ``text``, without overlaps."""
    return canonical(text).count(canonical(wanted)) if wanted else 0


def difference(one: str, other: str) -> str | None:
    """Return which characters tell two texts apart that look the same but are not equal; None for any other two texts."""
    if canonically_equal(one, other) or _appearance(one) != _appearance(other):
        return None
    left, right = _only_in(one, other), _only_in(other, one)
    if not left and not right:
        return None
    return f"they look alike, but one has {_named(left)}, the other {_named(right)}"


def lookalike_in(text: str, wanted: str) -> str | None:
    """Return the last part of ``text`` that looks like ``wanted`` but is not equal to it, or None."""
    found = next(_found(text, wanted, _appearance), None)
    return text[found[0] : found[1]] if found else None


def missing_subject(text: str, wanted: str) -> str:
    """Return the end of a message that ``wanted`` is not in ``text``: the characters of a part that looks the same.

    Empty if there is no such part.
    """
    near = lookalike_in(text, wanted)
    named = difference(wanted, near) if near else None
    return f"; it has {near!r}: {named}" if named else ""


def named(character: str) -> str:
    """Return the code point of a character with its name, such as "U+2019 RIGHT SINGLE QUOTATION MARK"."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"


def mixed_scripts(text: str) -> str | None:
    """Return the first word of ``text`` in which a Cyrillic or Greek letter stands for a Latin one that looks the same."""
    for word in re.findall(r"\w+", canonical(text)):
        latin = any(unicodedata.name(letter, "").startswith("LATIN") for letter in word)
        if latin and word.translate(HOMOGLYPHS) != word:
            return str(word)
    return None


def _appearance(text: str) -> str:
    return fold_lookalikes(text).translate(HOMOGLYPHS)


def _only_in(one: str, other: str) -> list[str]:
    there = set(canonical(other))
    return [character for character in dict.fromkeys(canonical(one)) if character not in there]


def _named(characters: list[str]) -> str:
    return ", ".join(map(named, characters)) or "none of these"


def _found(text: str, wanted: str, form: Callable[[str], str]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ``text`` that are equal to ``wanted`` after ``form``, the last first."""
    sought = form(wanted)
    if not sought:
        return
    pieces = list(_pieces(text, form))
    joined = "".join(piece for piece, _, _ in pieces)
    starts = list(accumulate((len(piece) for piece, _, _ in pieces), initial=0))
    at = joined.rfind(sought)
    while at >= 0:
        yield _place(text, pieces, starts, at, False), _place(text, pieces, starts, at + len(sought), True)
        at = joined.rfind(sought, 0, at + len(sought) - 1)


def _pieces(text: str, form: Callable[[str], str]) -> Iterator[tuple[str, int, int]]:
    """Yield ``text`` after ``form`` in parts that do not depend on each other, each with its range in ``text``."""
    if form(text) == text:
        yield text, 0, len(text)
        return
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or form(text[start : end + 1]) == form(text[start:end]) + form(text[end]):
            if end < len(text) and unicodedata.combining(unicodedata.normalize("NFKD", text[end])[0]):
                continue  # a mark that has not changed anything yet may do so together with a later one
            yield form(text[start:end]), start, end
            start = end


def _place(text: str, pieces: Sequence[tuple[str, int, int]], starts: Sequence[int], at: int, is_end: bool) -> int:
    """Return the index in ``text`` of the index ``at`` in the joined pieces; a changed piece is taken whole."""
    index = (bisect_left(starts, at) if is_end else bisect_right(starts, at)) - 1
    piece, start, end = pieces[index]
    if piece == text[start:end]:
        return start + at - starts[index]
    return end if is_end else start
