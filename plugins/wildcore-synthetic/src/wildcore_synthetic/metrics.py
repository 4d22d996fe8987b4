"""Token ratios.

Tokens are compared by their ids. Two texts that are equal in Unicode but written in different forms have other tokens, and other
numbers of them; such texts count as equal.
"""

from collections.abc import Sequence

from wildcore import AnsweredProbe, Metric, Score
from wildcore.equivalence import differ_only_in_form


class TokenMatch(Metric):
    """Share of the gold's tokens that the answer has at the same position; a missing token counts as wrong.

    1 if answer and gold differ only in their Unicode form. Otherwise a letter in another form is a wrong token.
    """

    reads_unedited = False

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1."""
        return [_match(item) for item in items]


class TokenAgreement(Metric):
    """Share of positions at which the edited and the unedited model gave the same token. The longer answer decides the number
    of positions.

    1 if the two outputs differ only in their Unicode form.
    """

    reads_unedited = True

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1."""
        return [_agreement(item) for item in items]


def _match(item: AnsweredProbe) -> Score:
    same = differ_only_in_form(item.answer.text.strip(), item.answers[0].strip())
    given = item.gold_token_ids if same else item.answer.token_ids
    return _share(given, item.gold_token_ids, "the gold has no token")


def _agreement(item: AnsweredProbe) -> Score:
    now, then = item.answer.token_ids, item.unedited.token_ids
    if differ_only_in_form(item.answer.untruncated, item.unedited.untruncated):
        then = now
    longer, shorter = (now, then) if len(now) >= len(then) else (then, now)
    return _share(shorter, longer, "neither model gave a token")


def _share(given: Sequence[int], wanted: Sequence[int], nothing: str) -> Score:
    if not wanted:
        return Score(value=None, reason=nothing)
    same = sum(a == b for a, b in zip(given, wanted, strict=False))
    return Score(value=same / len(wanted))
