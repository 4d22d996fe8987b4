"""Token ratios."""

from collections.abc import Sequence

from wildcore import AnsweredProbe, Metric, Score


class TokenMatch(Metric):
    """Share of the gold's tokens that the answer has at the same position; a missing token counts as wrong."""

    reads_unedited = False

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1."""
        return [_share(item.answer.token_ids, item.gold_token_ids, "the gold has no token") for item in items]


class TokenAgreement(Metric):
    """Share of positions at which the edited and the unedited model gave the same token. The longer answer decides the number
    of positions.
    """

    reads_unedited = True

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item between 0 and 1."""
        return [_agreement(item) for item in items]


def _agreement(item: AnsweredProbe) -> Score:
    now, then = item.answer.token_ids, item.unedited.token_ids
    longer, shorter = (now, then) if len(now) >= len(then) else (then, now)
    return _share(shorter, longer, "neither model gave a token")


def _share(given: Sequence[int], wanted: Sequence[int], nothing: str) -> Score:
    if not wanted:
        return Score(value=None, reason=nothing)
    same = sum(a == b for a, b in zip(given, wanted, strict=False))
    return Score(value=same / len(wanted))
