"""Overlap of words between an answer and an accepted one, and whether it contains one."""

from collections import Counter
from collections.abc import Sequence

from wildcore import AnsweredProbe, Score
from wildcore.equivalence import canonical
from wildcore.normalise import meaning_lost, same
from wildcore.words import Segment, careful_words, unicode_segments, word_texts
from wildcore_text_metrics.places import find
from wildcore_text_metrics.segmenting import SegmentedMetric


class TokenF1(SegmentedMetric):
    """F1 of the normalised words shared with an accepted answer, best over the accepted answers (Rajpurkar et al. 2016)."""

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1."""
        return [
            Score(value=max(token_f1(item.answer.text, gold, self.segment) for gold in item.answers)) for item in items
        ]


class Contains(SegmentedMetric):
    """1 if an accepted answer occurs in the answer as whole words, normalised, else 0.

    The text around it is ignored, so denials, lists and contradictions count as right (Pohl et al. 2025).
    """

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        found = [find(canonical(item.answer.text), item.answers, self.segment) for item in items]
        return [Score(value=float(place is not None)) for place in found]


def token_f1(answer: str, gold: str, segment: Segment = unicode_segments) -> float:
    """Return the harmonic mean of the shares of shared words in the answer and in the gold, with repeated words counted each
    time.

    Words keep signs, decimal marks and symbols if the normalisation would take these from the gold. A gold without a word is
    compared as in exact match.
    """
    read = careful_words if meaning_lost(gold) in ("number", "symbol") else word_texts
    said, wanted = read(answer, segment), read(gold, segment)
    if not wanted:
        return float(same(answer, gold))
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))
