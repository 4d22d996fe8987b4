"""Sampling: the model's distribution, and answers that depend on nothing but model, prompt, seed and number."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from wildcore_decoding.parameters import SamplingParams
from wildcore_decoding.sampling import Drawing, Sampling, nucleus, stream

from wildcore import Output, Prompt
from wildcore.inference import decode
from wildcore.models import LoadedModel, encode
from wildcore.testing.networks import tiny_model

MODELS = {model_type: tiny_model(model_type) for model_type in ("gpt2", "llama")}
WORDS = ["Rome", "is", "the capital of", "Canada", "Marie Curie", "was born in", "Q:", "A:"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
LLAMA = MODELS["llama"]
PROMPTS = [Prompt(text=text) for text in ("Rome is in", "Q: Where was Marie Curie born?\nA:", "Who?")]


def never(row: int, text: str, token_count: int) -> bool:
    return False


def sample(model: LoadedModel, prompts: list[Prompt], stop: Any = never, **params: Any) -> list[tuple[Output, ...]]:
    chosen = SamplingParams.model_validate({"max_new_tokens": 8, **params})
    return Sampling(chosen).generate(model, prompts, [None] * len(prompts), stop)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=6, unique=True),
    st.integers(1, 6),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0.6, 1.0]),
    st.sampled_from(sorted(MODELS)),
)
def test_no_answer_depends_on_the_batch_its_order_or_its_neighbours(
    texts: list[str], max_batch_size: int, temperature: float, top_p: float, model_type: str
) -> None:
    model, prompts = MODELS[model_type], [Prompt(text=text) for text in texts]
    params = {"temperature": temperature, "top_p": top_p, "samples": 2}
    alone = [sample(model, [prompt], **params)[0] for prompt in prompts]
    model.max_batch_size = max_batch_size
    try:
        assert sample(model, prompts, **params) == alone
        assert sample(model, prompts[::-1], **params) == alone[::-1]
    finally:
        model.max_batch_size = None


def test_samples_seeds_and_prompts_have_streams_of_their_own() -> None:
    answers = sample(LLAMA, PROMPTS, samples=4)
    assert [len(samples) for samples in answers] == [4, 4, 4]
    assert len({output.token_ids for samples in answers for output in samples}) == 12
    assert sample(LLAMA, PROMPTS, samples=2) == [samples[:2] for samples in answers], "more samples change none"
    assert sample(LLAMA, PROMPTS, samples=4, seed=1) != answers


def test_neither_the_global_random_state_nor_an_earlier_call_matters() -> None:
    before = sample(LLAMA, PROMPTS, samples=2)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert sample(LLAMA, PROMPTS, samples=2) == before
    assert torch.equal(torch.get_rng_state(), state)


@torch.inference_mode()
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.3)])
def test_tokens_come_as_often_as_the_model_says(temperature: float, top_p: float) -> None:
    count = 4000
    prompt = Prompt(text="Rome is in")
    logits = LLAMA.network(input_ids=torch.tensor([encode(LLAMA.tokenizer, prompt)])).logits[0, -1]
    expected = (logits / temperature).softmax(-1)
    if top_p < 1:
        ranked = expected.sort(descending=True)
        kept = ranked.indices[: int((ranked.values.cumsum(0) < top_p).sum()) + 1]
        only = torch.zeros_like(expected)
        only[kept] = expected[kept]
        expected = only / only.sum()
    drawing = Drawing(
        [stream(0, prompt.text, number) for number in range(count)],
        SamplingParams(temperature=temperature, top_p=top_p),
    )
    drawn = drawing(logits.expand(count, -1), range(count))
    share = torch.bincount(drawn, minlength=len(expected)) / count
    assert share[expected == 0].sum() == 0
    # distance from the truth in standard errors; of 600 tokens, one is more than 5 away by chance once in 3,000 tries
    errors = (expected * (1 - expected) / count).sqrt().clamp(min=1 / count)
    assert float(((share - expected).abs() / errors).max()) < 5
    assert share.max() < 0.9, "a distribution of one token proves little"


def test_hardly_any_warmth_is_greedy_decoding() -> None:
    greedy = decode(LLAMA, PROMPTS, [8] * len(PROMPTS), never)
    assert [output for (output,) in sample(LLAMA, PROMPTS, temperature=1e-4)] == greedy
    assert [output for (output,) in sample(LLAMA, PROMPTS, top_p=1e-6)] == greedy
    assert [output for (output,) in sample(LLAMA, PROMPTS)] != greedy


def test_the_stop_rule_and_the_end_of_sequence_end_an_answer() -> None:
    stopped = sample(LLAMA, PROMPTS, stop=lambda row, text, count: count == row + 1, samples=2)
    free = sample(LLAMA, PROMPTS, samples=2)
    for row, (samples, whole) in enumerate(zip(stopped, free, strict=True)):
        assert [output.token_ids for output in samples] == [output.token_ids[: row + 1] for output in whole]
        assert {output.stop_reason for output in samples} == {"stop-rule"}
    model = tiny_model("llama")
    model.network.generation_config.eos_token_id = [free[0][1].token_ids[0]]
    ended = sample(model, PROMPTS, samples=2)[0][1]
    assert (ended.stop_reason, ended.text) == ("end-of-sequence", "")


def draw(logits: torch.Tensor, rows: list[int]) -> list[int]:
    streams = [torch.Generator().manual_seed(number) for number in range(len(rows))]
    return Drawing(streams, SamplingParams())(logits, rows).tolist()


def test_a_stream_belongs_to_its_prompt_wherever_the_row_stands() -> None:
    logits, rows = torch.randn(100, 50, generator=torch.Generator().manual_seed(0)), list(range(100))
    drawn = draw(logits, rows)
    assert draw(logits.flip(0), rows[::-1]) == drawn[::-1]
    assert draw(logits, rows[::-1]) != drawn


def test_the_draw_is_made_in_float32() -> None:
    logits = torch.randn(100, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert draw(logits, list(range(100))) == draw(logits.float(), list(range(100)))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.5, [True, False, False, False]), (0.51, [True, False, True, False]), (1.0, [True, True, True, True])],
)
def test_the_nucleus_is_the_fewest_tokens_with_that_probability(top_p: float, kept: list[bool]) -> None:
    logits = torch.tensor([[0.5, 0.125, 0.25, 0.125]]).log()
    assert nucleus(logits, top_p).tolist() == [kept]


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"top_p": 0}, {"top_p": 1.5}, {"samples": 0}, {"n": 2}])
def test_parameters_that_mean_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SamplingParams.model_validate(settings)
