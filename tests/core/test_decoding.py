"""The decoding loop: rows leave, others take their places, and every answer is what it would be alone."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore import Output, Prompt
from wildcore.inference import decode, decode_tokens
from wildcore.inference.decoding import greedy
from wildcore.models import LoadedModel, encode
from wildcore.testing.networks import MODEL_TYPES, WINDOWED, tiny_model

WINDOW = 8
WORDS = ["Rome", "is", "the capital of", "Canada", "Marie Curie", "was born in", "Q:", "A:", "Paris", "who won"]
PROMPTS = [Prompt(text=" ".join(WORDS[index : index + 1 + index % 4] * (1 + index % 3))) for index in range(9)]
LIMITS = [3, 12, 1, 7, 20, 2, 9, 5, 16]


@torch.inference_mode()
def plainest(model: LoadedModel, prompt: Prompt, count: int) -> tuple[int, ...]:
    """Decode one prompt by a whole forward pass for every token: no cache, no padding, no batch."""
    ids = list(encode(model.tokenizer, prompt))
    start = len(ids)
    while len(ids) < start + count:
        logits = model.network(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return tuple(ids[start:])


def tokens(outputs: Sequence[Output]) -> list[tuple[int, ...]]:
    return [output.token_ids for output in outputs]


@pytest.mark.parametrize(
    ("model_type", "window"),
    [(model_type, None) for model_type in MODEL_TYPES] + [(model_type, WINDOW) for model_type in WINDOWED],
)
@pytest.mark.parametrize("max_batch_size", [None, 2, 3])
@pytest.mark.parametrize("use_cuda_graphs", [None, True])
def test_whoever_leaves_and_comes_in_every_row_gets_what_the_plainest_loop_gives(
    model_type: str, window: int | None, max_batch_size: int | None, use_cuda_graphs: bool | None
) -> None:
    model = tiny_model(model_type, sliding_window=window)
    model.use_cuda_graphs = use_cuda_graphs
    expected = [plainest(model, prompt, limit) for prompt, limit in zip(PROMPTS, LIMITS, strict=True)]
    model.max_batch_size = max_batch_size
    outputs = decode(model, PROMPTS, LIMITS, None)
    assert tokens(outputs) == expected
    assert {output.stop_reason for output in outputs} == {"max-new-tokens"}


class Witness:
    """Chooses greedily, and keeps which rows were in the batch at each step."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        assert len(logits) == len(rows)
        self.batches.append(list(rows))
        return greedy(logits, rows)


def test_ended_rows_leave_and_others_take_their_places() -> None:
    model = tiny_model("llama")
    model.max_batch_size = 4
    seen = Witness()
    decode(model, PROMPTS, LIMITS, None, choose=seen)
    assert max(map(len, seen.batches)) == 4
    rows_run = sum(map(len, seen.batches))
    assert sum(LIMITS) <= rows_run < 1.3 * sum(LIMITS), "few steps are spent on rows that have ended"
    assert {row for batch in seen.batches for row in batch} == set(range(len(PROMPTS)))


def test_a_sliding_window_lets_rows_leave_but_none_in() -> None:
    model = tiny_model("mistral", sliding_window=WINDOW)
    model.max_batch_size = 4
    seen = Witness()
    decode(model, PROMPTS, LIMITS, None, choose=seen)
    for before, after in zip(seen.batches, seen.batches[1:], strict=False):
        assert set(after) <= set(before) or not set(after) & set(before)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), st.integers(1, 10)), min_size=1, max_size=8
    ),
    st.integers(1, 8),
    st.sampled_from(["llama", "gpt2"]),
)
def test_no_answer_depends_on_the_batch_its_order_or_its_neighbours(
    asked: list[tuple[list[str], int]], max_batch_size: int, model_type: str
) -> None:
    model = tiny_model(model_type)
    prompts = [Prompt(text=" ".join(words)) for words, _ in asked]
    limits = [limit for _, limit in asked]
    alone = [tokens(decode(model, [p], [limit], None))[0] for p, limit in zip(prompts, limits, strict=True)]
    model.max_batch_size = max_batch_size
    assert tokens(decode(model, prompts, limits, None)) == alone
    assert tokens(decode(model, prompts[::-1], limits[::-1], None)) == alone[::-1]


def test_prompts_may_be_given_as_tokens() -> None:
    model = tiny_model("llama")
    model.max_batch_size = 4
    ids = [encode(model.tokenizer, prompt) for prompt in PROMPTS]
    assert decode_tokens(model, ids, LIMITS, None) == decode(model, PROMPTS, LIMITS, None)
    ends = decode_tokens(model, [one[-3:] for one in ids], LIMITS, lambda row, text, count: count >= 2)
    assert max(len(output.token_ids) for output in ends) == 2


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_the_second_device_of_a_process_answers_as_the_first_does() -> None:
    found = []
    for device in ("cuda:0", "cuda:1"):
        model = tiny_model("llama")
        model.network.to(device)
        found.append(tokens(decode(model, PROMPTS, LIMITS, None)))
        assert not model.warnings
    assert found[0] == found[1]
