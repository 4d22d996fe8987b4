"""Greedy decoding: the same tokens as the plainest loop gives, and why it ends."""

from typing import Any

import pytest
import torch
from wildcore_wild.autoregressive import Autoregressive
from wildcore_wild.parameters import AutoregressiveParams

from wildcore import Prompt
from wildcore.models import LoadedModel, encode
from wildcore.testing.networks import MAX_LENGTH, MODEL_TYPES, WINDOWED, tiny_model
from wildcore.testing.tokenizers import metaspace_tokenizer

WINDOW = 8
NEW_TOKENS = 24
PROMPTS = [
    Prompt(text="Please answer the question: Q: Which river flows through Paris, the capital of France? A:"),
    Prompt(text="Rome"),
    Prompt(text="The capital of Canada is"),
    Prompt(text="Q: Where was Marie Curie, who won the Nobel prize, born?\nA:"),
    Prompt(text="She lives in the U.S. and"),
]


def never(row: int, text: str, token_count: int) -> bool:
    return False


def generate(model: LoadedModel, prompts: list[Prompt], max_new_tokens: int = NEW_TOKENS, stop: Any = never) -> Any:
    params = AutoregressiveParams(max_new_tokens=max_new_tokens)
    answers = Autoregressive(params).generate(model, prompts, [None] * len(prompts), stop)
    return [output for (output,) in answers]


@torch.inference_mode()
def plainest(model: LoadedModel, prompt: Prompt, count: int = NEW_TOKENS) -> tuple[int, ...]:
    """Decode one prompt by a whole forward pass for every token: no cache, no padding, no batch."""
    ids = list(encode(model.tokenizer, prompt))
    start = len(ids)
    while len(ids) < start + count and (len(ids) == start or ids[-1] not in model.end_of_sequence):
        logits = model.network(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return tuple(ids[start:])


def with_end_of_sequence(model: LoadedModel, token: int) -> LoadedModel:
    model.network.generation_config.eos_token_id = [token]
    return model


@pytest.mark.parametrize(
    ("model_type", "window"),
    [(model_type, None) for model_type in MODEL_TYPES] + [(model_type, WINDOW) for model_type in WINDOWED],
)
def test_a_padded_batch_with_cache_gives_token_for_token_what_the_plainest_loop_gives(
    model_type: str, window: int | None
) -> None:
    model = tiny_model(model_type, sliding_window=window)
    lengths = [len(encode(model.tokenizer, prompt)) for prompt in PROMPTS]
    assert min(lengths) < WINDOW < max(lengths)
    outputs = generate(model, PROMPTS)
    expected = [plainest(model, prompt) for prompt in PROMPTS]
    assert [output.token_ids for output in outputs] == expected
    assert len(set(expected)) == len(PROMPTS)
    assert max(map(len, expected)) == NEW_TOKENS
    assert max(len(set(tokens)) for tokens in expected) > 5, "answers that repeat a token prove little"


@pytest.mark.parametrize("model_type", ["mistral", "gemma2", "gemma3_text", "qwen3", "phi3"])
def test_the_sliding_window_of_the_test_above_matters(model_type: str) -> None:
    narrow, wide = tiny_model(model_type, sliding_window=WINDOW), tiny_model(model_type)
    assert generate(narrow, PROMPTS) != generate(wide, PROMPTS)


@pytest.mark.parametrize("prefix_space", [True, False])
def test_sentencepiece_style_tokenizers_give_the_same(prefix_space: bool) -> None:
    model = tiny_model("llama", tokenizer=metaspace_tokenizer(prefix_space))
    outputs = generate(model, PROMPTS)
    assert [output.token_ids for output in outputs] == [plainest(model, prompt) for prompt in PROMPTS]
    assert [output.text for output in outputs] == [
        model.tokenizer.decode(output.token_ids, skip_special_tokens=True) for output in outputs
    ]


def test_an_answer_does_not_depend_on_the_batch_it_sits_in() -> None:
    model = tiny_model("llama")
    together = generate(model, PROMPTS)
    assert generate(model, PROMPTS[::-1]) == together[::-1]
    assert [generate(model, [prompt])[0] for prompt in PROMPTS] == together


def test_the_stop_rule_ends_each_row_by_itself() -> None:
    model = tiny_model("llama")
    free = generate(model, PROMPTS)
    seen: list[tuple[int, str, int]] = []

    def stop(row: int, text: str, token_count: int) -> bool:
        seen.append((row, text, token_count))
        return token_count == row + 1

    outputs = generate(model, PROMPTS, stop=stop)
    for row, (output, whole) in enumerate(zip(outputs, free, strict=True)):
        assert output.token_ids == whole.token_ids[: row + 1]
        assert output.stop_reason == "stop-rule"
    assert all(text == model.tokenizer.decode(free[row].token_ids[:count]) for row, text, count in seen)
    assert sorted({row for row, _, _ in seen}) == list(range(len(PROMPTS)))
    assert len(seen) == sum(range(1, len(PROMPTS) + 1)), "a finished row is not asked about again"


def test_the_end_of_sequence_ends_a_row_and_is_not_in_its_text() -> None:
    model = tiny_model("llama")
    free = generate(model, PROMPTS)
    last = free[0].token_ids[5]
    first_place = free[0].token_ids.index(last)
    (output, *_) = generate(with_end_of_sequence(model, last), PROMPTS)
    assert output.stop_reason == "end-of-sequence"
    assert output.token_ids == free[0].token_ids[: first_place + 1]
    assert output.text == model.tokenizer.decode(free[0].token_ids[:first_place])


def test_an_end_of_sequence_at_once_is_an_empty_answer() -> None:
    model = tiny_model("llama")
    (first, *_) = generate(model, PROMPTS[:1])[0].token_ids
    (output,) = generate(with_end_of_sequence(model, first), PROMPTS[:1])
    assert (output.text, output.token_ids, output.stop_reason) == ("", (first,), "end-of-sequence")


@pytest.mark.parametrize("count", [1, 3])
def test_max_new_tokens(count: int) -> None:
    for output in generate(tiny_model("gpt2"), PROMPTS, max_new_tokens=count):
        assert len(output.token_ids) == count
        assert output.stop_reason == "max-new-tokens"


@pytest.mark.parametrize("model_type", ["gpt2", "gptj", "llama", "gpt_neox"])
def test_a_full_context_ends_its_row_and_no_other(model_type: str) -> None:
    model = tiny_model(model_type)
    long = Prompt(text="Paris " * (MAX_LENGTH - 6) + "is")
    length = len(encode(model.tokenizer, long))
    assert MAX_LENGTH - 10 < length < MAX_LENGTH
    full, short = generate(model, [long, PROMPTS[2]])
    assert full.stop_reason == "context-full"
    assert length + len(full.token_ids) == MAX_LENGTH
    assert full.token_ids == plainest(model, long, MAX_LENGTH - length)
    assert short.token_ids == plainest(model, PROMPTS[2])


def test_the_generation_config_of_the_model_plays_no_part() -> None:
    model = tiny_model("llama")
    before = generate(model, PROMPTS)
    config = model.network.generation_config
    config.do_sample, config.temperature, config.top_k = True, 5.0, 500
    config.repetition_penalty, config.no_repeat_ngram_size = 10.0, 1
    config.max_new_tokens, config.forced_eos_token_id, config.num_beams = 2, 7, 3
    config.suppress_tokens = list({token for output in before for token in output.token_ids})
    torch.manual_seed(1)
    assert generate(model, PROMPTS) == before


def test_a_prompt_without_special_tokens_gets_none() -> None:
    model = tiny_model("llama")
    chat = Prompt(text="<s>Rome", separator="", special_tokens=False)
    assert generate(model, [chat]) == generate(model, [Prompt(text="Rome")])
