"""Where an accepted answer occurs in a text, as whole words, normalised."""

import re
from collections.abc import Iterator, Sequence
from unicodedata import category

from wildcore.normalise import careful_normalise, meaning_lost
from wildcore.words import Segment, Word, unicode_segments, word_texts, words

CHUNK = re.compile(r"\S+")

Place = tuple[int, int]
"""Beginning and end of a part of a text, in characters."""


def find(text: str, accepted: Sequence[str], segment: Segment = unicode_segments) -> Place | None:
    """Return the place of the first accepted answer in ``text``; of several that start together, the longest. None: there is
    none.

    ``text`` must be in Unicode's form NFC. Words are compared normalised, or with signs, decimal marks and symbols kept if the
    normalisation takes these from the answer. An accepted answer without a word ("The The") is searched for as written.
    """
    found = [place for gold in accepted for place in _places(text, gold, segment)]
    return min(found, key=lambda place: (place[0], -place[1]), default=None)


def _places(text: str, gold: str, segment: Segment) -> Iterator[Place]:
    wanted, said = _both(text, gold, segment)
    for first in range(len(said) - len(wanted) + 1):
        part = said[first : first + len(wanted)]
        if part and [word.text for word in part] == wanted:
            yield part[0].start, part[-1].end


def _both(text: str, gold: str, segment: Segment) -> tuple[list[str], list[Word]]:
    """Return the words of an accepted answer, and those of the text in which it is searched for."""
    if meaning_lost(gold) in ("number", "symbol"):
        wanted = [
            word for word in word_texts(careful_normalise(gold), segment, careful_normalise) if not _is_mark(word)
        ]
        return wanted, [word for word in words(text, segment, careful_normalise) if not _is_mark(word.text)]
    if wanted := word_texts(gold, segment):
        return wanted, words(text, segment)
    return gold.split(), [Word(chunk.group(), *chunk.span()) for chunk in CHUNK.finditer(text)]


def _is_mark(word: str) -> bool:
    """Return whether a word is punctuation alone, which stands between words."""
    return all(category(character)[0] == "P" for character in word)
