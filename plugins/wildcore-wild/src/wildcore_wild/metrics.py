"""Exact match and equality with the unedited model."""

from collections.abc import Callable, Sequence

from wildcore import COMPARED_CAREFULLY, Answer, AnsweredProbe, Metric, Score
from wildcore.equivalence import canonical, differ_only_in_form
from wildcore.normalise import careful_same, folded_same, meaning_lost, same, squad_same
from wildcore_wild.parameters import ExactMatchParams, MatchParams

Same = Callable[[str, str], bool]
"""Compares an answer with a gold."""


class ExactMatch(Metric):
    """1 if the answer equals an accepted answer after SQuAD's normalisation, else 0.

    Accepted answers of which the normalisation would leave nothing, another number or another name are compared carefully
    instead; ``details`` then say which, and what it would have taken.
    """

    def __init__(self, params: ExactMatchParams) -> None:
        self.aliases, self.as_published = params.aliases, params.as_published

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [self._score(item) for item in items]

    def _score(self, item: AnsweredProbe) -> Score:
        if self.as_published:
            return _match(item, _squad_same_in_one_form, self.aliases)
        lost = {gold: loss for gold in _accepted(item, self.aliases) if (loss := meaning_lost(gold))}
        found = _match(item, same, self.aliases)
        return found.model_copy(update={"details": {COMPARED_CAREFULLY: lost}}) if lost else found


class CarefulMatch(Metric):
    """1 if the answer equals an accepted answer with signs, decimal marks and symbols inside words kept, else 0."""

    def __init__(self, params: MatchParams) -> None:
        self.aliases = params.aliases

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [_match(item, careful_same, self.aliases) for item in items]


class FoldedMatch(Metric):
    """1 if the answer equals an accepted answer with look-alike characters made the same, else 0.

    These are apostrophes, quotation marks, dashes, full and half width, other compatibility forms, spaces and invisible
    characters. Otherwise it compares as ``exact-match``.
    """

    def __init__(self, params: MatchParams) -> None:
        self.aliases = params.aliases

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [_match(item, folded_same, self.aliases) for item in items]


def _squad_same_in_one_form(answer: str, gold: str) -> bool:
    return squad_same(canonical(answer), canonical(gold))


def _match(item: AnsweredProbe, equal: Same, aliases: bool) -> Score:
    return Score(value=float(any(equal(item.answer.text, gold) for gold in _accepted(item, aliases))))


def _accepted(item: AnsweredProbe, aliases: bool) -> tuple[str, ...]:
    return item.answers if aliases else item.answers[:1]


class Unchanged(Metric):
    """1 if the edited model's answer equals the unedited model's under the same protocol, token for token; else 0.

    The published code compares token ids of the whole output, stop included. Two outputs that differ only in their Unicode form
    are equal too.
    """

    reads_unedited = True

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1."""
        return [Score(value=float(_unchanged(item.answer, item.unedited))) for item in items]


def _unchanged(now: Answer, then: Answer) -> bool:
    return now.token_ids == then.token_ids or differ_only_in_form(now.untruncated, then.untruncated)
