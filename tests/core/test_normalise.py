"""When two answers count as the same."""

import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore.normalise import (
    careful_normalise,
    careful_same,
    folded_same,
    meaning_lost,
    normalise,
    same,
    squad_normalise,
    squad_same,
)

FORMS = ("NFC", "NFD")


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


@pytest.mark.parametrize(
    ("gold", "loss"),
    [
        ("A", "empty"), ("the", "empty"), ("The The", "empty"), ("?", "empty"), ("。", "empty"), ("A*", "empty"),
        ("-5", "number"), ("\u22125", "number"), ("3.5", "number"), ("3,5", "number"), (".5", "number"),
        ("1990-1995", "number"), ("1,000.5", "number"), ("24/7", "number"),
        ("C++", "symbol"), ("C#", "symbol"), ("F#.", "symbol"), (".NET", "symbol"), ("B-", "symbol"), ("Vitamin A", "symbol"),
        ("Paris", None), ("C", None), ("1,000", None), ("1,234,567", None), ("$5", None), ("5.", None), ("+1", None),
        ("COVID-19", None), ("May 5, 1990", None), ("U.S.", None), ("AT&T", None), ("M*A*S*H", None), ("well-known", None),
        ("St. Moritz", None), ("No. 5", None), ("(3)", None), ("东京。", None), ("A Star Is Born", None), ("Yahoo!", None),
    ],
)  # fmt: skip
def test_what_normalisation_takes_from_a_target(gold: str, loss: str | None) -> None:
    assert meaning_lost(gold) == loss


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("C", "C++", False), ("C++.", "C++", True), ("the C++", "C++", True), ("C#", "C++", False), ("C++", "C", True),
        ("5", "-5", False), ("-5", "\u22125", True), ("35", "3.5", False), ("3.5.", "3.5", True), ("(3.5)", "3.5", True),
        ("a", "A", True), ("A.", "A", True), ("an", "A", False), ("", "A", False), ("'B-'", "B-", True), ("b", "B-", False),
        ("1000.5", "1,000.5", True), ("\u00abC++\u00bb", "C++", True), ("$3.5", "3.5", True), ("vitamin", "Vitamin A", False),
    ],
)  # fmt: skip
def test_such_targets_are_compared_carefully(answer: str, gold: str, equal: bool) -> None:
    assert same(answer, gold) == equal


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("C", "C++"), ("5", "-5"), ("35", "3.5"), ("", "The The"), ("an", "A"), ("vitamin", "Vitamin A")],
)
def test_squad_as_published_takes_them_for_the_same(answer: str, gold: str) -> None:
    assert squad_same(answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("东京。", "东京"),
        ("东京", "东京。"),
        ("القاهرة؟", "القاهرة"),
        ("दिल्ली।", "दिल्ली"),
        ("Αθήνα\u037e", "Αθήνα"),
        ("東京！", "東京"),
    ],
)
def test_closing_stops_of_every_script_are_ignored(answer: str, gold: str) -> None:
    assert same(answer, gold)
    assert careful_same(answer, gold)


@given(st.text("aThe éếẮ한ガ\u0301.,-5+#\u2019", max_size=10), st.text("aThe éếẮ한ガ\u0301.,-5+#\u2019", max_size=10))
def test_no_comparison_depends_on_the_unicode_form(answer: str, gold: str) -> None:
    shapes = [(unicodedata.normalize(a, answer), unicodedata.normalize(b, gold)) for a in FORMS for b in FORMS]
    for compare in (same, careful_same, folded_same):
        assert len({compare(*texts) for texts in shapes}) == 1
        assert compare(unicodedata.normalize("NFD", gold), gold)


@given(st.text(string.ascii_letters + " .,!?'", max_size=15), st.text(string.ascii_letters + " .,!?'", max_size=15))
def test_in_ordinary_english_all_is_as_published(answer: str, gold: str) -> None:
    assert normalise(answer) == squad_normalise(answer)
    if not meaning_lost(gold):
        assert same(answer, gold) == squad_same(answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("Zed\u2019s", "Zed's"),
        ("Jean\u2013Luc", "Jean-Luc"),
        ("ＡＢＣ", "ABC"),
        ("ﾄｳｷｮｳ", "トウキョウ"),
        ("a\u200bb", "ab"),
    ],
)
def test_lookalikes_are_the_same_only_when_folded(answer: str, gold: str) -> None:
    assert folded_same(answer, gold)
    assert folded_same(gold, answer)
    assert not same(answer, gold)


@given(st.text(max_size=20))
def test_a_careful_comparison_holds_for_equal_texts_and_normalising_twice_is_once(text: str) -> None:
    assert careful_same(text, text)
    assert folded_same(text, text)
    normal = careful_normalise(text)
    assert normal == " ".join(normal.split())
