"""Exact match and equality with the unedited model."""

from collections.abc import Sequence

from wildcore import AnsweredProbe, Metric, Score
from wildcore.normalise import same
from wildcore_wild.parameters import ExactMatchParams


class ExactMatch(Metric):
    """1 if the answer equals an accepted answer after SQuAD's normalisation, else 0."""

    def __init__(self, params: ExactMatchParams) -> None:
        self.aliases = params.aliases

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(self._matches(item))) for item in items]

    def _matches(self, item: AnsweredProbe) -> bool:
        accepted = item.answers if self.aliases else item.answers[:1]
        return any(same(item.answer.text, gold) for gold in accepted)


class Unchanged(Metric):
    """1 if the edited model's answer equals the unedited model's under the same protocol, token for token; else 0."""

    reads_unedited = True

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(item.answer.token_ids == item.unedited.token_ids)) for item in items]
