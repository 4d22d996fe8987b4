"""Scores from the log-probabilities that a generator measured.

A probability here is e to the power of the mean log-probability of an answer's tokens, the geometric mean over them. ROME's
code compares answers of different length in this way.
"""

from collections.abc import Callable, Sequence
from math import exp

from wildcore import AnsweredProbe, Metric, Score

TARGET = "target-log-probability"
RIVAL = "rival-log-probability"
NO_TARGET = "no finite log-probability of the gold was measured; the generator likelihood measures it"
NO_RIVAL = "no finite log-probability of a rival was measured: the probe has none that fits, or the generator is not likelihood"


class TargetProbability(Metric):
    """The gold's probability."""

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1."""
        return [_of_target(item) for item in items]


class ProbabilitySuccess(Metric):
    """1 if the gold is more probable than its rival, else 0.

    For an edited fact the gold is the new object and the rival the old one (ROME's efficacy and paraphrase scores); for a
    neighbouring fact the gold is its true object and the rival the new one (neighbourhood score).
    """

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [_compared(item, lambda target, rival: float(target > rival)) for item in items]


class ProbabilityMagnitude(Metric):
    """The gold's probability minus its rival's, with gold and rival as for ``ProbabilitySuccess``."""

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between -1 and 1."""
        return [_compared(item, lambda target, rival: exp(target) - exp(rival)) for item in items]


def _of_target(item: AnsweredProbe) -> Score:
    measures = item.answer.output.measures
    return Score(value=exp(measures[TARGET])) if TARGET in measures else Score(value=None, reason=NO_TARGET)


def _compared(item: AnsweredProbe, compare: Callable[[float, float], float]) -> Score:
    measures = item.answer.output.measures
    if TARGET not in measures:
        return Score(value=None, reason=NO_TARGET)
    if RIVAL not in measures:
        return Score(value=None, reason=NO_RIVAL)
    return Score(value=compare(measures[TARGET], measures[RIVAL]))
