"""Texts put before a question, and how many of them there is room for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wildcore_retrieval.room import most_that_fit, put_before

from wildcore import Prompt
from wildcore.models import encode
from wildcore.testing.networks import MAX_LENGTH, tiny_model

MODEL = tiny_model("llama")


def test_before_all_of_a_plain_prompt() -> None:
    prompt = Prompt(text="Q: Where is Rome?\nA:")
    assert put_before(prompt, "Where is Rome?", "In Peru. ") == Prompt(text="In Peru. Q: Where is Rome?\nA:")


def test_before_the_question_in_a_conversation() -> None:
    turn = Prompt(text="<user>Rome? Rome?<assistant>", separator="", special_tokens=False)
    assert put_before(turn, "Rome?", "(Peru) ").text == "<user>Rome? (Peru) Rome?<assistant>"
    assert put_before(turn, "Milan?", "(Peru) ").text == "(Peru) <user>Rome? Rome?<assistant>"


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, MAX_LENGTH))
def test_one_more_would_not_fit(count: int, room: int) -> None:
    def written(number: int) -> Prompt:
        return Prompt(text="a fact. " * number + "Where?")

    def fits(number: int) -> bool:
        return len(encode(MODEL.tokenizer, written(number))) + room <= MAX_LENGTH

    number = most_that_fit(MODEL, count, room, written)
    assert 0 <= number <= count
    assert number == 0 or fits(number)
    assert number == count or not fits(number + 1)


def test_without_a_bound_everything_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(MODEL), "max_length", None)
    assert most_that_fit(MODEL, 1000, 10**6, lambda number: Prompt(text="x " * number)) == 1000
