"""The words of a text in any script, as metrics compare them.

In scripts with spaces a word stands between spaces, as in SQuAD's script, and marks outside ASCII separate words too (word
boundaries of Unicode, UAX #29). In scripts without spaces a segmenter finds the words; Unicode's own rules separate every
character there, except in Katakana.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from wildcore.equivalence import canonical
from wildcore.normalise import careful_normalise, normalise
from wildcore.scripts import UNSPACED, UNSPACED_LETTER

Segment = Callable[[str], Sequence[str]]
"""Splits a text of a script without spaces into its words, which joined are the text again."""

CHUNK = re.compile(r"\S+")
RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
IN_A_WORD = frozenset("LMNS")
"""First letters of the Unicode categories of characters that a word is made of: letters, marks, numbers and symbols."""


@dataclass(frozen=True)
class Word:
    """A normalised word, and the range of the characters around it that no other word shares."""

    text: str
    start: int
    end: int


def unicode_segments(text: str) -> list[str]:
    """Split ``text`` at the word boundaries of Unicode (UAX #29)."""
    import regex  # it is needed only for texts outside ASCII

    return [part for part in regex.split(r"(?V1w)\b", text) if part]


def words(text: str, segment: Segment = unicode_segments, read: Callable[[str], str] = normalise) -> list[Word]:
    """Return the words of ``text``, which must be in Unicode's form NFC, each after ``read``."""
    found = []
    for chunk in CHUNK.finditer(text):
        for part, start, is_word in _parts(chunk.group(), segment):
            place = chunk.start() + start
            kept = filter(_is_word, read(part).split()) if is_word else _split(read(part))
            found += [Word(word, place, place + len(part)) for word in kept]
    return found


def word_texts(text: str, segment: Segment = unicode_segments, read: Callable[[str], str] = normalise) -> list[str]:
    """Return the words of any text, without their places."""
    return [word.text for word in words(canonical(text), segment, read)]


def careful_words(text: str, segment: Segment = unicode_segments) -> list[str]:
    """Return the words of a text with signs, decimal marks and symbols kept."""
    return word_texts(careful_normalise(text), segment, careful_normalise)


def _parts(chunk: str, segment: Segment) -> Iterator[tuple[str, int, bool]]:
    """Yield the parts of a text without white space that are read alone: each with the index of its first character, and
    whether a segmenter found it to be a word.
    """
    if chunk.isascii():
        yield chunk, 0, False
        return
    for run in RUN.finditer(chunk):
        at, unspaced = run.start(), UNSPACED_LETTER.match(run.group()) is not None
        for part in segment(run.group()) if unspaced else [run.group()]:
            yield part, at, unspaced
            at += len(part)


def _split(normalised: str) -> Iterator[str]:
    for word in normalised.split():
        if word.isascii() or any(character.isascii() and not character.isalnum() for character in word):
            yield word
        else:
            yield from (part for part in unicode_segments(word) if _is_word(part))


def _is_word(part: str) -> bool:
    return any(unicodedata.category(character)[0] in IN_A_WORD for character in part)
