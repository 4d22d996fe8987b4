"""Exact match and equality with the unedited model."""

import re
import string
from collections.abc import Sequence

from wildcore import AnsweredProbe, Score

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = str.maketrans("", "", string.punctuation)


class ExactMatch:
    """1 if the answer equals an accepted answer after SQuAD's normalisation, else 0."""

    reads_unedited = False

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(any(same(item.answer.text, gold) for gold in item.answers))) for item in items]


class Unchanged:
    """1 if the edited model's answer is, token for token, the unedited model's under the same protocol, else 0."""

    reads_unedited = True

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(item.answer.token_ids == item.unedited.token_ids)) for item in items]


def same(answer: str, gold: str) -> bool:
    """Compare two answers normalised; a gold of which normalisation leaves nothing ("The The") is compared as written."""
    wanted = normalise(gold)
    return normalise(answer) == wanted if wanted else answer.strip() == gold.strip()


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, then without articles, white space made single (Rajpurkar et al. 2016)."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())
