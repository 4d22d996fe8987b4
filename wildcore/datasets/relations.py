"""Relations of facts: what a prompt says about its subject, and how similar two relations are by their words."""

from collections import Counter
from collections.abc import Iterable, Iterator
from math import log2

from wildcore.datasets.checks import folded
from wildcore.datasets.rows import BLANK
from wildcore.equivalence import canonical, find_last
from wildcore.words import word_texts

PARTS_OF_A_WEIGHT = 1024
"""Weights of words are whole numbers of this part, so that their sums do not depend on the order of the words."""


def relation_of(prompt: str, subject: str | None) -> str | None:
    """Return ``prompt`` with the last occurrence of its subject replaced by ``BLANK``, without case and with single white
    space.

    None: there is no subject, or it does not occur in the prompt, or the prompt has no other word (articles do not count).
    """
    place = find_last(prompt, subject) if subject else None
    if place is None:
        return None
    before, after = prompt[: place[0]], prompt[place[1] :]
    if not word_texts(f"{before} {after}"):
        return None
    return folded(f"{before}{BLANK}{after}")


class Relations:
    """The different relations of a dataset. Their words are weighted by rarity.

    The weight of a word is log2(1 + number of relations / number of relations with the word). The similarity of two relations
    is the weight of the words that both have, divided by the weight of the words that at least one has (weighted Jaccard
    index): 1 for the same words in any order, 0 if no word is common. ``least`` is the similarity from which ``similar`` finds
    a relation.
    """

    def __init__(self, relations: Iterable[str], least: float) -> None:
        self.least = least
        self._words = {relation: _words(relation) for relation in relations}
        counts = Counter(word for words in self._words.values() for word in words)
        self._weights = {word: self._weight_for(count) for word, count in counts.items()}
        self._rarest = self._weight_for(1)
        self._similar: dict[str, tuple[str, ...]] = {}
        self._by_word: dict[str, list[str]] = {}
        for relation, words in self._words.items():
            for word in self._first_words(words):
                self._by_word.setdefault(word, []).append(relation)

    def similarity(self, one: str, other: str) -> float:
        """Return the similarity of two relations, which need not be of the dataset."""
        first, second = self._words_of(one), self._words_of(other)
        total = self._weight(first | second)
        return self._weight(first & second) / total if total else float(one == other)

    def similar(self, relation: str) -> tuple[str, ...]:
        """Return the other relations of the dataset whose similarity is at least ``least``: the most similar first, equally
        similar ones in alphabetical order.
        """
        if relation not in self._similar:
            first = self._first_words(self._words_of(relation))
            found = {other for word in first for other in self._by_word.get(word, ())} - {relation}
            measured = sorted((-self.similarity(relation, other), other) for other in found)
            self._similar[relation] = tuple(other for negative, other in measured if -negative >= self.least)
        return self._similar[relation]

    def _first_words(self, words: frozenset[str]) -> Iterator[str]:
        """Yield the rarest words, until the others weigh less than ``least`` of all.

        Two relations of that similarity have one of these words in common, so only relations with such a word need be compared
        (prefix filtering; Bayardo et al., Scaling Up All Pairs Similarity Search, WWW 2007).
        """
        total = left = self._weight(words)
        for word in sorted(words, key=lambda word: (-self._weight((word,)), word)):
            if left < self.least * total:
                return
            yield word
            left -= self._weight((word,))

    def _words_of(self, relation: str) -> frozenset[str]:
        known = self._words.get(relation)
        return _words(relation) if known is None else known

    def _weight(self, words: Iterable[str]) -> int:
        return sum(self._weights.get(word, self._rarest) for word in words)

    def _weight_for(self, count: int) -> int:
        return round(PARTS_OF_A_WEIGHT * log2(1 + len(self._words) / count))


def _words(relation: str) -> frozenset[str]:
    return frozenset(word_texts(relation.replace(BLANK, " ")))


class SubjectFinder:
    """Finds the subject of a prompt that states a known relation, such as "Oslo" in "Oslo is located in"."""

    def __init__(self, relations: Iterable[str]) -> None:
        self._relations = frozenset(relations)
        parts = [relation.split(BLANK, 1) for relation in self._relations]
        self._before = frozenset(before for before, _ in parts)
        self._after = frozenset(after for _, after in parts)

    def find(self, prompt: str) -> tuple[str, str] | None:
        """Return the subject and the relation; of several relations that fit, the longest. None: none fits."""
        text = " ".join(canonical(prompt).split())
        lower = folded(text)
        if len(lower) != len(text):  # the two do not agree character by character
            return None
        starts = [index for index in range(len(text)) if lower[:index] in self._before and _is_edge(text, index)]
        ends = [index for index in range(1, len(text) + 1) if lower[index:] in self._after and _is_edge(text, index)]
        fitting = sorted(
            (end - start, text[start:end], relation)
            for start in starts
            for end in ends
            if start < end and (relation := lower[:start] + BLANK + lower[end:]) in self._relations
        )
        return next(((subject, relation) for _, subject, relation in fitting if subject == subject.strip()), None)


def _is_edge(text: str, index: int) -> bool:
    """Return whether no word goes on at ``index``."""
    return not (text[:index][-1:].isalnum() and text[index : index + 1].isalnum())
