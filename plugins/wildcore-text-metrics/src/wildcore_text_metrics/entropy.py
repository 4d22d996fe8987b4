"""Fluency as the editing literature measures it: how varied the word pairs and triples of a text are."""

from collections import Counter
from collections.abc import Sequence
from math import log2

from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer

from wildcore import AnsweredProbe, Metric, Score
from wildcore.equivalence import canonical

WEIGHTS = {2: 1 / 3, 3: 2 / 3}
"""Weight of each n. ROME's code weights 2/3 and 4/3 and takes the mean of the two, which is the same."""
LONGEST = max(WEIGHTS)


class NGramEntropy(Metric):
    """Weighted mean of the entropies of the bigrams and trigrams of the whole output, in bits.

    It is low if a text repeats itself. It grows with the length of the text, so only texts of about equal length can be
    compared.
    """

    def __init__(self) -> None:
        self._sentences = PunktSentenceTokenizer()
        self._words = NLTKWordTokenizer()

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item from 0 up; an output with fewer words than a trigram gets no value."""
        return [self._score(canonical(item.answer.untruncated)) for item in items]

    def _score(self, text: str) -> Score:
        words = [word for sentence in self._sentences.tokenize(text) for word in self._words.tokenize(sentence)]
        if len(words) < LONGEST:
            return Score(value=None, reason=f"the output has fewer than {LONGEST} words")
        return Score(value=sum(weight * entropy(words, n) for n, weight in WEIGHTS.items()))


def entropy(words: Sequence[str], n: int) -> float:
    """Return the entropy, in bits, of the distribution of n-grams in ``words``: -sum f log2 f over their frequencies f."""
    counts = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
    total = counts.total()
    return sum(count / total * log2(total / count) for count in counts.values())
