"""A distracting text before the question."""

import pytest
from pydantic import ValidationError
from wildcore_prompting.contexts import Prefix
from wildcore_prompting.parameters import PrefixParams

from wildcore import Prompt
from wildcore.testing.networks import tiny_model

MODEL = tiny_model("llama")


def render(question: str = "Who?", **settings: str) -> Prompt:
    return Prefix(PrefixParams.model_validate(settings)).render(question, MODEL)


@pytest.mark.parametrize(
    ("text", "whole"), [("It rained.", "It rained. Who?"), ("It rained.\n", "It rained.\nWho?"), ("a ", "a Who?")]
)
def test_one_space_parts_text_and_question_unless_white_space_is_there(text: str, whole: str) -> None:
    prompt = render(text=text)
    assert prompt.text == whole
    assert (prompt.separator, prompt.special_tokens) == (" ", True)


def test_both_go_into_the_template() -> None:
    assert render(text="It rained.", template="Q: {question}\nA:").text == "Q: It rained. Who?\nA:"


def test_braces_mean_nothing() -> None:
    prompt = render("{0} {question}", text="{question} {}", template="<{question}>")
    assert prompt.text == "<{question} {} {0} {question}>"


def test_there_must_be_a_text_and_a_place_for_the_question() -> None:
    with pytest.raises(ValidationError):
        render(text="")
    with pytest.raises(ValidationError, match=r"must contain \{question\}"):
        render(text="a", template="b")
