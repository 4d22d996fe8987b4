"""Comparisons of answers in published code."""

import re
import string
from collections.abc import Sequence

from wildcore import AnsweredProbe, Metric, Score
from wildcore.equivalence import canonical, canonically_equal

ARTICLE = re.compile(r"\b(?:The |the |An |A |The |a |an )")
PUNCTUATION = str.maketrans("", "", string.punctuation)


class UnchangedText(Metric):
    """1 if the edited model's answer equals the unedited model's under the same protocol, letter for letter; else 0.

    Texts that are equal in Unicode are the same.
    """

    reads_unedited = True

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(canonically_equal(item.answer.text, item.unedited.text))) for item in items]


class HarnessExactMatch(Metric):
    """1 if the answer equals an accepted answer as compared by lm-evaluation-harness, else 0.

    Articles are removed first, only as "The ", "the ", "A ", "a ", "An " or "an " and with the space after them; then case is
    ignored, then ASCII punctuation removed. White space is compared exactly. Texts that are equal in Unicode
    are the same.
    """

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(_matches(item))) for item in items]


def _matches(item: AnsweredProbe) -> bool:
    answer = _normalise(item.answer.text.strip())
    return any(answer == _normalise(gold) for gold in item.answers)


def _normalise(text: str) -> str:
    return canonical(ARTICLE.sub("", canonical(text)).lower().translate(PUNCTUATION))
