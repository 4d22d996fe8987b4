"""Similarity by shared words: the cosine of TF-IDF vectors (Salton and Buckley, 1988), with smoothed document frequencies."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from wildcore.equivalence import canonical
from wildcore.scripts import UNSPACED_LETTER
from wildcore.words import unicode_segments
from wildcore_retrieval.retrievers import highest

WORD = re.compile(r"\w+")


class Words:
    """Compares texts by their words; needs no further package."""

    def pinned_resources(self) -> dict[str, str]:
        """Return an empty mapping: there are no resources besides the parameters."""
        return {}

    def index(self, texts: Sequence[str]) -> "WordIndex":
        """Prepare ``texts`` for search."""
        return WordIndex(texts)


class WordIndex:
    """Texts by their words. A word counts more if fewer of the texts contain it."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words(text)) for text in texts]
        having = Counter(word for count in counts for word in count)
        self.worth = {word: math.log((1 + len(texts)) / (1 + number)) + 1 for word, number in having.items()}
        self.vectors = [self._vector(count) for count in counts]

    def nearest(self, query: str, count: int) -> list[int]:
        """Return the indices of the ``count`` texts most similar to ``query``, the nearest first; ties in order."""
        return highest(self.similarities(query), count)

    def similarities(self, query: str) -> list[float]:
        """Return the cosine of ``query`` and each text, from 0 to 1; words that no text contains are ignored."""
        wanted = self._vector(Counter(words(query)))
        return [sum(weight * vector.get(word, 0.0) for word, weight in wanted.items()) for vector in self.vectors]

    def _vector(self, counts: Mapping[str, int]) -> dict[str, float]:
        weights = {word: number * self.worth[word] for word, number in counts.items() if word in self.worth}
        length = math.hypot(*weights.values())
        return {word: weight / length for word, weight in weights.items()}


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation, the same for texts that are equal in Unicode.

    Of a script without spaces, such as Chinese, every character is a word, except in Katakana.
    """
    folded = canonical(canonical(text).casefold())
    return WORD.findall(folded) if folded.isascii() else list(_words(folded))


def _words(text: str) -> Iterator[str]:
    import regex  # it is needed only for texts outside ASCII

    for word in regex.findall(r"[\w\p{M}]+", text):
        yield from unicode_segments(word) if UNSPACED_LETTER.search(word) else [word]
