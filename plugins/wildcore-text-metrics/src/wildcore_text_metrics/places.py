"""Where an accepted answer occurs in a text, as whole words, normalised."""

import re
from collections.abc import Iterator, Sequence

from wildcore.normalise import normalise

CHUNK = re.compile(r"\S+")

Place = tuple[int, int]
"""Beginning and end of a part of a text, in characters; there is white space on both sides."""


def find(text: str, accepted: Sequence[str]) -> Place | None:
    """Return the place of the first accepted answer in ``text``; of several that start together, the longest. None: there is
    none.

    Words are compared normalised. An accepted answer that normalises to nothing ("The The") is searched for as written.
    """
    found = [place for gold in accepted for place in _places(text, gold)]
    return min(found, key=lambda place: (place[0], -place[1]), default=None)


def _places(text: str, gold: str) -> Iterator[Place]:
    reading = _normalised if normalise(gold) else str.split
    wanted = reading(gold)
    said = [(word, chunk.span()) for chunk in CHUNK.finditer(text) for word in reading(chunk.group())]
    for first in range(len(said) - len(wanted) + 1):
        part = said[first : first + len(wanted)]
        if part and [word for word, _ in part] == wanted:
            yield part[0][1][0], part[-1][1][1]


def _normalised(text: str) -> list[str]:
    return normalise(text).split()
