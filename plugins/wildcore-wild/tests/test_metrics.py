"""Exact match and equality with the unedited model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_wild.metrics import ExactMatch, Unchanged, normalise

from wildcore import Answer, AnsweredProbe, Output


def answer(text: str = "", token_ids: tuple[int, ...] = ()) -> Answer:
    output = Output(text=text, token_ids=token_ids, stop_reason="end-of-sequence")
    return Answer(text=text, token_ids=token_ids, output=output)


def probe(now: Answer, golds: tuple[str, ...] = ("x",), then: Answer | None = None) -> AnsweredProbe:
    return AnsweredProbe(
        kind="reliability", question="?", answers=golds, gold_token_ids=(), answer=now, unedited=then or answer()
    )


def exact(text: str, *golds: str) -> float | None:
    (score,) = ExactMatch().score([probe(answer(text), golds)])
    return score.value


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("Paris", "Paris"),
        ("paris", "PARIS"),
        ("The Seine", "Seine"),
        ("Seine", "the  Seine"),
        ("U.S.", "US"),
        ("  Paris,\tFrance ", "paris france"),
        ("a man and an ape", "man and ape"),
        ("The The", "The The"),
        ("A", "A"),
        ("...", "..."),
        ("Zürich", "zürich"),
    ],
)
def test_exact_match(text: str, gold: str) -> None:
    assert exact(text, gold) == 1.0


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("Paris, France", "Paris"),
        ("", "Paris"),
        ("Pari", "Paris"),
        ("", "The The"),
        ("the", "The The"),
        ("an", "A"),
        ("Theodor", "odor"),
        ("!", "?"),
        ("Zurich", "Zürich"),
    ],
)
def test_no_exact_match(text: str, gold: str) -> None:
    assert exact(text, gold) == 0.0


def test_any_accepted_answer_counts() -> None:
    assert exact("NYC", "New York", "New York City", "N.Y.C.") == 1.0
    assert exact("Boston", "New York", "New York City", "N.Y.C.") == 0.0


@given(st.text(max_size=30))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise(text)
    assert once == " ".join(once.split())
    assert not set(once.split()) & {"a", "an", "the"} or normalise(once) != once
    assert exact(text, text) == 1.0


def test_unchanged_compares_every_token() -> None:
    def unchanged(now: tuple[int, ...], then: tuple[int, ...]) -> float | None:
        (score,) = Unchanged().score([probe(answer("same text", now), then=answer("same text", then))])
        return score.value

    assert unchanged((1, 2, 3), (1, 2, 3)) == 1.0
    assert unchanged((), ()) == 1.0
    assert unchanged((1, 2), (1, 2, 3)) == 0.0
    assert unchanged((1, 2, 4), (1, 2, 3)) == 0.0
    assert Unchanged.reads_unedited
    assert not ExactMatch.reads_unedited


def test_scores_come_in_the_order_of_the_items() -> None:
    items = [probe(answer(text), ("Paris",)) for text in ("Paris", "Rome", "paris.")]
    assert [score.value for score in ExactMatch().score(items)] == [1.0, 0.0, 1.0]
    assert ExactMatch().score([]) == []
