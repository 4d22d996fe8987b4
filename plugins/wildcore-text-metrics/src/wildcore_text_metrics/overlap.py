"""Overlap of words between an answer and an accepted one, and whether it contains one."""

from collections import Counter
from collections.abc import Sequence

from wildcore import AnsweredProbe, Metric, Score
from wildcore.normalise import normalise, same
from wildcore_text_metrics.places import find


class TokenF1(Metric):
    """F1 of the normalised words shared with an accepted answer, best over the accepted answers (Rajpurkar et al. 2016)."""

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1."""
        return [Score(value=max(token_f1(item.answer.text, gold) for gold in item.answers)) for item in items]


class Contains(Metric):
    """1 if an accepted answer occurs in the answer as whole words, normalised, else 0.

    The text around it is ignored, so denials, lists and contradictions count as right (Pohl et al. 2025).
    """

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(find(item.answer.text, item.answers) is not None)) for item in items]


def token_f1(answer: str, gold: str) -> float:
    """Return the harmonic mean of the shares of shared words in the answer and in the gold, with repeated words counted each
    time.

    A gold that normalises to nothing is compared as written, as in exact match.
    """
    said, wanted = normalise(answer).split(), normalise(gold).split()
    if not wanted:
        return float(same(answer, gold))
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))
