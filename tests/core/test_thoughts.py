"""Where a thought ends and the reply begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore.thoughts import begins_thought, split_thought


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("<think>\nThe user asks.\n</think>\n\nLisbon", "Lisbon"),
        ("The user asks.\n</think>\nLisbon.", "Lisbon."),
        ("<think>a</think>Porto <think>b</think> Lisbon", "Lisbon"),
        ("<think></think>Lisbon", "Lisbon"),
        ("<Thinking>It is a city.</Thinking> Lisbon", "Lisbon"),
        ("<thought>It is a city.</thought>Lisbon", "Lisbon"),
        ("<seed:think>It is a city.</seed:think>Lisbon", "Lisbon"),
        ("[THINK]It is a city.[/THINK]Lisbon", "Lisbon"),
        ("It is a city.[/THINK]Lisbon", "Lisbon"),
        ("◁think▷It is a city.◁/think▷Lisbon", "Lisbon"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>\nLisbon<|end_of_solution|>", "Lisbon"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Lisbon<|END_RESPONSE|>", "Lisbon"),
        ("<think>a</think><answer>Lisbon</answer>", "Lisbon"),
        ("<think>a</think><answer> Lisbon", "Lisbon"),
        ("<|inner_prefix|>a<|inner_suffix|>Lisbon", "Lisbon"),
        ("<|channel>thought\na<channel|>Lisbon", "Lisbon"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Lisbon", "Lisbon"),
        ("<|channel|>final <|constrain|>JSON<|message|>{}", "{}"),
        ("analysisThe user asks.assistantfinalLisbon", "Lisbon"),
        ("Here is my thought process: a city.\nHere is my response:\nLisbon", "Lisbon"),
    ],
)
def test_the_reply_is_what_follows_the_last_end_of_a_thought(text: str, reply: str) -> None:
    found = split_thought(text)
    assert (found.reply, found.ended) == (reply, True)
    assert text.startswith(found.thought + found.reply)
    assert found.thought


@pytest.mark.parametrize(
    "text",
    [
        "<think>The user asks",
        "\n <think>",
        "[THINK]The user",
        "<seed:think>a",
        "<|channel|>analysis<|message|>The user asks",
        "<think>a</think>\n<think>b",
    ],
)
def test_a_thought_without_an_end_leaves_no_reply(text: str) -> None:
    found = split_thought(text)
    assert (found.thought, found.reply, found.ended) == (text, "", False)


@pytest.mark.parametrize(
    "text", ["Lisbon", "", "I think so.", "analysis of a city", "She wrote <think> on a wall", "<b>x"]
)
def test_a_text_without_a_thought_is_the_reply(text: str) -> None:
    found = split_thought(text)
    assert (found.thought, found.reply, found.ended) == ("", text, True)


def test_a_thought_that_the_prompt_begins_lasts_until_its_end() -> None:
    assert split_thought("The user asks", begun=True).ended is False
    assert split_thought("The user asks</think>Lisbon", begun=True).reply == "Lisbon"


@pytest.mark.parametrize(
    ("prompt", "begun"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("[INST]q[/INST][THINK]", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("What does <think> mean?<|im_start|>assistant\n", False),
        ("<|start|>assistant", False),
    ],
)
def test_a_prompt_begins_a_thought_if_it_ends_with_the_marker(prompt: str, begun: bool) -> None:
    assert begins_thought(prompt) is begun


@given(st.text(max_size=20), st.text(alphabet="abc .,\n", max_size=20))
def test_no_text_is_lost_between_thought_and_reply(thought: str, reply: str) -> None:
    text = f"<think>{thought}</think>{reply}"
    found = split_thought(text)
    assert found.thought + found.reply == text
    assert found.reply == reply.lstrip()
