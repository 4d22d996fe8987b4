"""Decoding to the gold's length: exactly so many tokens, and those of the plainest loop."""

import pytest
import torch
from wildcore_decoding.forced_length import ForcedLength

from wildcore import Gold, Output, Prompt
from wildcore.models import LoadedModel, encode, tokenise_pair
from wildcore.testing.networks import tiny_model

PAIRS = [
    ("Please answer the question: Q: Which river flows through Paris? A:", "the Seine, in the north of France"),
    ("Rome is in", "Italy"),
    ("She lives in the U.S. and", "St. Moritz with 24 books"),
]


def never_asked(row: int, text: str, token_count: int) -> bool:
    raise AssertionError("the stop rule is not asked")


def force(model: LoadedModel, pairs: list[tuple[str, str]] = PAIRS) -> list[Output]:
    prompts = [Prompt(text=question) for question, _ in pairs]
    golds = [
        Gold(text=answer, token_ids=tokenise_pair(model.tokenizer, prompt, answer).target_ids)
        for prompt, (_, answer) in zip(prompts, pairs, strict=True)
    ]
    return [output for (output,) in ForcedLength().generate(model, prompts, golds, never_asked)]


@torch.inference_mode()
def plainest(model: LoadedModel, question: str, count: int) -> tuple[int, ...]:
    ids = list(encode(model.tokenizer, Prompt(text=question)))
    for _ in range(count):
        ids.append(int(model.network(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return tuple(ids[-count:])


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_each_answer_has_the_golds_token_count(model_type: str) -> None:
    model = tiny_model(model_type)
    outputs = force(model)
    lengths = [len(tokenise_pair(model.tokenizer, Prompt(text=q), answer).target_ids) for q, answer in PAIRS]
    assert len(set(lengths)) == 3
    assert [output.token_ids for output in outputs] == [
        plainest(model, question, length) for (question, _), length in zip(PAIRS, lengths, strict=True)
    ]
    assert {output.stop_reason for output in outputs} == {"forced-length"}


def test_the_end_of_sequence_is_a_token_like_others() -> None:
    model = tiny_model("llama")
    free = force(model)
    model.network.generation_config.eos_token_id = [free[0].token_ids[0]]
    assert force(model) == free


def test_it_is_not_told_more_of_the_gold_than_its_length() -> None:
    model = tiny_model("llama")
    question, answer = PAIRS[1]
    other = "Rome"
    assert (
        len({len(tokenise_pair(model.tokenizer, Prompt(text=question), text).target_ids) for text in (answer, other)})
        == 1
    )
    assert force(model, [(question, answer)]) == force(model, [(question, other)])


def test_a_gold_without_a_token_is_an_empty_answer() -> None:
    empty, full = force(tiny_model("llama"), [("Rome is in", ""), PAIRS[1]])
    assert (empty.text, empty.token_ids) == ("", ())
    assert full.token_ids


def test_without_the_gold_it_says_so() -> None:
    with pytest.raises(ValueError, match="needs the gold of every prompt"):
        ForcedLength().generate(tiny_model("llama"), [Prompt(text="Who?")], [None], never_asked)
