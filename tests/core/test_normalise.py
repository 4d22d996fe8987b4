"""When two answers count as the same."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore.normalise import normalise, same


@pytest.mark.parametrize(
    ("answer", "gold"),
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
        ("", ""),
    ],
)
def test_the_same(answer: str, gold: str) -> None:
    assert same(answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
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
        ("well-known", "well known"),
    ],
)
def test_not_the_same(answer: str, gold: str) -> None:
    assert not same(answer, gold)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" The Cat,\n the  HAT! ", "cat hat"),
        ("Theatre and anthem", "theatre and anthem"),
        ("the-cat", "thecat"),
        ("A.N. Other", "other"),
        ("the \u201cParis\u201d", "\u201cparis\u201d"),
        ("under_score", "underscore"),
        ("a, an; the?", ""),
    ],
)
def test_normalise(text: str, normal: str) -> None:
    assert normalise(text) == normal


@given(st.text(max_size=30))
def test_a_text_is_the_same_as_itself_and_normalising_twice_is_normalising_once(text: str) -> None:
    normal = normalise(text)
    assert same(text, text)
    assert normal == " ".join(normal.split())
    assert not set(normal) & set(string.punctuation)
    assert normalise(normal) == normal


@given(st.text(max_size=12), st.text(max_size=12))
def test_a_text_is_normalised_word_by_word(first: str, second: str) -> None:
    assert normalise(f"{first} {second}").split() == [*normalise(first).split(), *normalise(second).split()]
