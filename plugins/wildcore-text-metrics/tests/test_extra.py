"""What an answer says beyond the gold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_text_metrics.extra import ABSENT, ExtraContent, repeats
from wildcore_text_metrics.parameters import Counts, ExtraContentParams, Of

from wildcore import Answer, AnsweredProbe, Output, Score

GOLDS = ("New York", "New York City", "NYC")


def score(text: str, *golds: str, counts: Counts = "any", of: Of = "answer", output: str = "") -> Score:
    said = Output(text=output, token_ids=(1,), stop_reason="max-new-tokens")
    answer = Answer(text=text, token_ids=(1,), output=said)
    probe = AnsweredProbe(
        kind="reliability", question="?", answers=golds or GOLDS, gold_token_ids=(), answer=answer, unedited=answer
    )
    (result,) = ExtraContent(ExtraContentParams(counts=counts, of=of)).score([probe])
    return result


@pytest.mark.parametrize(
    ("text", "kind", "extra"),
    [
        ("New York", "none", ""),
        (" the new york.", "none", "the"),
        ("New York City", "none", ""),
        ("New York, ...", "none", "..."),
        ("New York New York", "repetition", "New York"),
        ("NYC\nNYC\nNYC", "repetition", "NYC\nNYC"),
        ("New York, NYC, New York City", "repetition", "NYC, New York City"),
        ("New York City New York Ci", "repetition", "New York Ci"),
        ("New York New", "repetition", "New"),
        ("New York state", "other", "state"),
        ("It is New York", "other", "It is"),
        ("New York and NYC", "other", "and NYC"),
        ("New York or New", "other", "or New"),
        ("New: New York", "other", "New:"),
        ("New York is a city. New York is a city.", "other", "is a city. New York is a city."),
        ("New York New York Los", "other", "New York Los"),
    ],
)
def test_classes(text: str, kind: str, extra: str) -> None:
    found = score(text)
    assert found.details == {"class": kind, "extra": extra}
    assert found.value == float(kind != "none")
    assert score(text, counts="repetition").value == float(kind == "repetition")
    assert score(text, counts="other").value == float(kind == "other")


@pytest.mark.parametrize("text", ["", "Boston", "New Yorker", "York, New"])
def test_without_the_gold_there_is_nothing_to_score(text: str) -> None:
    assert score(text) == Score(value=None, reason=ABSENT)


def test_all_that_the_model_said_is_looked_at_if_asked() -> None:
    said = "NYC. NYC. The capital of Ohio"
    assert score("NYC", output=said).details["class"] == "none"
    assert score("NYC", output=said, of="output").details == {"class": "other", "extra": "NYC. The capital of Ohio"}
    assert score("Ohio", output=said, of="output").value == 1.0
    assert score("NYC", output="Ohio", of="output").value is None


def test_a_gold_of_articles_is_looked_for_as_written() -> None:
    assert score("The The", "The The").details["class"] == "none"
    assert score("The The The The", "The The").details == {"class": "repetition", "extra": "The The"}
    assert score("the the", "The The").value is None


@pytest.mark.parametrize(
    ("said", "repeated"),
    [("x x x", True), ("x y x", True), ("x z", False), ("x y z x", False), ("x y", True), ("z", False)],
)
def test_a_row_of_accepted_answers(said: str, repeated: bool) -> None:
    assert repeats(said, ["x", "x y", "", "x y x y"]) == repeated


def test_many_ways_to_read_a_row_do_not_take_long() -> None:
    assert not repeats("x " * 2000 + "z", ["x", "x x", "x x x"])


@given(st.text("Pris, \n", max_size=10), st.text("Pris, \n", max_size=10))
def test_gold_and_extra_hold_every_word_of_the_text(before: str, after: str) -> None:
    text = f"{before} Rome {after}"
    found = score(text, "Rome")
    assert sorted([*found.details["extra"].split(), "Rome"]) == sorted(text.split())
    assert found.value == float(any(letter in before + after for letter in "Pris"))
