"""ROUGE-L, computed by the package rouge-score."""

from collections.abc import Sequence

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize

from wildcore import AnsweredProbe, Metric, Score
from wildcore.equivalence import canonical

UNREADABLE = "no accepted answer has a letter a to z or a digit, and ROUGE reads no other"


class RougeL(Metric):
    """F-measure of the longest common subsequence of words, best over the accepted answers; no stemming.

    The package reads the letters a to z and digits only: "Zürich" is the words "z" and "rich".
    """

    def __init__(self) -> None:
        self._scorer = RougeScorer(["rougeL"])

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1; an item gets no value if ROUGE can read none of its accepted answers."""
        return [self._score(item) for item in items]

    def _score(self, item: AnsweredProbe) -> Score:
        readable = [gold for gold in map(canonical, item.answers) if tokenize(gold, None)]
        if not readable:
            return Score(value=None, reason=UNREADABLE)
        best = self._scorer.score_multi(readable, canonical(item.answer.text))["rougeL"]
        return Score(value=float(best.fmeasure))
