"""Token ratios."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_synthetic.metrics import TokenAgreement, TokenMatch

from wildcore import Answer, AnsweredProbe, Output

Ids = tuple[int, ...]
IDS = st.lists(st.integers(0, 3), max_size=6).map(tuple)


def answer(token_ids: Ids) -> Answer:
    return Answer(
        text="", token_ids=token_ids, output=Output(text="", token_ids=token_ids, stop_reason="teacher-forced")
    )


def probe(now: Ids, gold: Ids = (), then: Ids = ()) -> AnsweredProbe:
    return AnsweredProbe(
        kind="locality", question="?", answers=("x",), gold_token_ids=gold, answer=answer(now), unedited=answer(then)
    )


def match(now: Ids, gold: Ids) -> float | None:
    return TokenMatch().score([probe(now, gold=gold)])[0].value


def agreement(now: Ids, then: Ids) -> float | None:
    return TokenAgreement().score([probe(now, then=then)])[0].value


@pytest.mark.parametrize(
    ("now", "gold", "value"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), 1.0),
        ((1, 2, 3, 4), (1, 9, 3, 9), 0.5),
        ((2, 1), (1, 2), 0.0),
        ((1,), (1, 2, 3, 4), 0.25),
        ((), (1, 2), 0.0),
        ((1, 2, 9, 9), (1, 2), 1.0),
    ],
)
def test_token_match(now: Ids, gold: Ids, value: float) -> None:
    assert match(now, gold) == value


@pytest.mark.parametrize(
    ("now", "then", "value"),
    [
        ((1, 2), (1, 2), 1.0),
        ((1, 9), (1, 2), 0.5),
        ((1, 2), (1, 2, 3, 4), 0.5),
        ((1, 2, 3, 4), (1, 2), 0.5),
        ((), (1,), 0.0),
        ((1,), (), 0.0),
    ],
)
def test_token_agreement(now: Ids, then: Ids, value: float) -> None:
    assert agreement(now, then) == value


def test_texts_that_differ_only_in_their_form_are_equal_and_others_are_compared_by_ids() -> None:
    def answered(text: str, ids: Ids) -> Answer:
        return Answer(text=text, token_ids=ids, output=Output(text=text, token_ids=ids, stop_reason="teacher-forced"))

    def scored(metric: TokenMatch | TokenAgreement, text: str, gold: str) -> float | None:
        item = AnsweredProbe(
            kind="locality",
            question="?",
            answers=(gold,),
            gold_token_ids=(1, 2),
            answer=answered(text, (1, 3, 4)),
            unedited=answered(gold, (1, 2)),
        )
        return metric.score([item])[0].value

    for one, other in (("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")):
        assert scored(TokenMatch(), one, other) == scored(TokenAgreement(), one, other) == 1.0
    for text in ("cafe\u0301 noir", "caf\u00e9"):
        assert scored(TokenMatch(), text, "caf\u00e9") == 1 / 2
        assert scored(TokenAgreement(), text, "caf\u00e9") == 1 / 3


def test_nothing_to_compare_is_not_scored_and_says_why() -> None:
    (score,) = TokenMatch().score([probe((1,), gold=())])
    assert (score.value, score.reason) == (None, "the gold has no token")
    (score,) = TokenAgreement().score([probe((), then=())])
    assert (score.value, score.reason) == (None, "neither model gave a token")


@given(one=IDS, other=IDS)
def test_agreement_is_a_share_and_works_both_ways(one: Ids, other: Ids) -> None:
    value = agreement(one, other)
    assert value == agreement(other, one)
    assert value is None or 0 <= value <= 1
    assert (value == 1) == (one == other != ())


def test_what_they_compare_with() -> None:
    assert TokenAgreement.reads_unedited
    assert not TokenMatch.reads_unedited
