"""Words shared with the gold: token F1, contains, ROUGE-L."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_text_metrics.overlap import Contains, TokenF1
from wildcore_text_metrics.places import find
from wildcore_text_metrics.rouge import UNREADABLE, RougeL

from wildcore import Answer, AnsweredProbe, Metric, Output, Score
from wildcore.normalise import same

WORDS = st.text("aAtheThéx .,'\n", max_size=12)


def score(metric: Metric, text: str, *golds: str) -> Score:
    output = Output(text="The output says London", token_ids=(1,), stop_reason="stop-rule")
    answer = Answer(text=text, token_ids=(1,), output=output)
    probe = AnsweredProbe(
        kind="reliability", question="?", answers=golds, gold_token_ids=(), answer=answer, unedited=answer
    )
    (result,) = metric.score([probe])
    return result


def value(metric: Metric, text: str, *golds: str) -> float | None:
    return score(metric, text, *golds).value


@pytest.mark.parametrize(
    ("text", "golds", "expected"),
    [
        ("Paris", ("Paris",), 1.0),
        ("The  paris.", ("Paris",), 1.0),
        ("London", ("Paris",), 0.0),
        ("", ("Paris",), 0.0),
        # precision 1/2, recall 1
        ("Paris, France", ("Paris",), 2 / 3),
        # precision 2/3, recall 2/4
        ("New York state", ("New York City hall",), 4 / 7),
        # words are counted as often as they are said: precision 1/3
        ("Paris Paris Paris", ("Paris",), 0.5),
        ("New York", ("Boston", "New York City", "York"), 0.8),
        ("The The", ("The The",), 1.0),
        ("the", ("The The",), 0.0),
    ],
)
def test_token_f1(text: str, golds: tuple[str, ...], expected: float) -> None:
    assert value(TokenF1(), text, *golds) == pytest.approx(expected)


@given(WORDS, WORDS)
def test_token_f1_is_1_where_the_answers_are_the_same_and_never_outside_0_and_1(text: str, gold: str) -> None:
    found = value(TokenF1(), text, gold)
    assert found is not None
    assert 0 <= found <= 1
    assert found == 1.0 or not same(text, gold)


@pytest.mark.parametrize(
    ("text", "golds", "expected"),
    [
        ("It is Paris, of course", ("Paris",), 1.0),
        ("It is the city of new  york!", ("New York",), 1.0),
        ("It is Lyon or Rome", ("Paris", "Rome"), 1.0),
        ("The Parisian", ("Paris",), 0.0),
        ("New Jersey and York", ("New York",), 0.0),
        ("London", ("Paris",), 0.0),
        ("", ("Paris",), 0.0),
        ("The band The The, from London", ("The The",), 0.0),
        ("The band The The from London", ("The The",), 1.0),
        ("the band the wall", ("The The",), 0.0),
        # the false positives that make this metric too kind
        ("It is certainly not Paris", ("Paris",), 1.0),
        ("Rome, Paris, London, Berlin", ("Paris",), 1.0),
    ],
)
def test_contains(text: str, golds: tuple[str, ...], expected: float) -> None:
    assert value(Contains(), text, *golds) == expected


@given(WORDS, WORDS, WORDS)
def test_an_answer_contains_what_it_is_made_of(before: str, gold: str, after: str) -> None:
    assert value(Contains(), f"{before} {gold} {after}", gold) == float(bool(gold.strip()))


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_what_is_found_is_an_accepted_answer_and_none_stands_before_it(text: str, golds: list[str]) -> None:
    place = find(text, golds)
    if place is None:
        return
    start, end = place
    assert any(same(text[start:end], gold) for gold in golds)
    assert find(text[:start], golds) is None


@pytest.mark.parametrize(
    ("text", "golds", "expected"),
    [
        ("Paris", ("paris",), 1.0),
        # longest common subsequence "new york": precision 2/3, recall 2/3
        ("new old york", ("new york city",), 2 / 3),
        # in order only: "york" or "new"
        ("york new", ("new york",), 0.5),
        ("", ("Paris",), 0.0),
        ("Lyon", ("Paris", "Lyon and Nice"), 0.5),
    ],
)
def test_rouge_l(text: str, golds: tuple[str, ...], expected: float) -> None:
    assert value(RougeL(), text, *golds) == pytest.approx(expected)


def test_what_rouge_cannot_read_is_not_scored() -> None:
    assert score(RougeL(), "Москва", "Москва") == Score(value=None, reason=UNREADABLE)
    assert value(RougeL(), "Moscow", "Москва", "Moscow") == 1.0
    assert value(RougeL(), "Москва", "Moscow") == 0.0


@pytest.mark.parametrize("metric", [TokenF1(), Contains(), RougeL()])
def test_scores_come_in_the_order_of_the_items(metric: Metric) -> None:
    output = Output(text="", token_ids=(), stop_reason="end-of-sequence")
    answers = [Answer(text=text, token_ids=(), output=output) for text in ("Paris", "Rome", "paris.")]
    items = [
        AnsweredProbe(
            kind="reliability", question="?", answers=("Paris",), gold_token_ids=(), answer=answer, unedited=answer
        )
        for answer in answers
    ]
    assert [found.value for found in metric.score(items)] == [1.0, 0.0, 1.0]
    assert metric.score([]) == []
