"""A prompt that several protocols put is read once, and every answer is what it is where each reads it for itself."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore import Gold, Output, Probe, StopRule
from wildcore.evaluation.questions import generate_answers, render_questions
from wildcore.inference import decode, map_target_logits
from wildcore.inference.prompt_cache import PromptCache
from wildcore.models import LoadedModel, encode, tokenise_pair
from wildcore.patches import LowRank, RowPatches, WeightPatch
from wildcore.testing.networks import tiny_model
from wildcore.testing.stub_protocol import Greedy, plain_protocol
from wildcore.types import Prompt

WORDS = ("the", "capital", "of", "France", "is", "red", "old", "river", "town", "house")
MODELS = {family: tiny_model(family) for family in ("llama", "gpt2", "qwen2")}
NEW_TOKENS = 4
Asked = list[tuple[int, Prompt]]


def prompt(*words: str) -> Prompt:
    return Prompt(text=" ".join(words))


def patches(model: LoadedModel, count: int) -> list[WeightPatch]:
    """Return patches that each change what the model says."""
    generator = torch.Generator().manual_seed(count)
    projection = model.mlp_output(1)
    shapes = projection.weight.shape
    factors = [[torch.randn(size, 2, generator=generator) for size in shapes] for _ in range(count)]
    return [WeightPatch({projection.name: LowRank(left, right)}) for left, right in factors]


@contextmanager
def counted(model: LoadedModel) -> Iterator[list[int]]:
    """Note how many tokens each pass of the network is given."""
    tokens: list[int] = []
    hook = model.network.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        yield tokens
    finally:
        hook.remove()


def both(
    model: LoadedModel, asked: Asked, targets: Sequence[str], shared: PromptCache | None, forced_first: bool
) -> tuple[list[tuple[int, ...]], list[torch.Tensor]]:
    """Return what decoding says to each prompt and the logits of each target, with patches; each protocol in its own call."""
    owners = [owner for owner, _ in asked]
    stacked = RowPatches(model, [[patch] for patch in patches(model, max(owners) + 1)])
    prompts = [one for _, one in asked]
    said: list[tuple[int, ...]] = []
    logits: list[torch.Tensor] = []
    for forced in (forced_first, not forced_first):
        with stacked.applied(owners), shared.activated(owners) if shared else nullcontext():
            if forced:
                rows = [
                    tokenise_pair(model.tokenizer, one, target) for one, target in zip(prompts, targets, strict=True)
                ]
                logits = map_target_logits(model, rows, lambda _, given: given.clone())
            else:
                said = [output.token_ids for output in decode(model, prompts, [NEW_TOKENS] * len(prompts), None)]
    return said, logits


@st.composite
def questions(draw: st.DrawFn) -> tuple[Asked, list[str]]:
    words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(lambda some: prompt(*some))
    asked = draw(st.lists(st.tuples(st.integers(0, 2), words), min_size=1, max_size=6))
    target = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
    return asked, draw(st.lists(target, min_size=len(asked), max_size=len(asked)))


@given(
    drawn=questions(),
    family=st.sampled_from(sorted(MODELS)),
    forced_first=st.booleans(),
    max_batch_size=st.sampled_from([None, 1, 2, 3]),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=12, deadline=None)
def test_the_answers_are_those_without_sharing(
    drawn: tuple[Asked, list[str]], family: str, forced_first: bool, max_batch_size: int | None, order: random.Random
) -> None:
    model, (asked, targets) = MODELS[family], drawn
    model.max_batch_size = max_batch_size
    by_others = order.sample(asked, order.randint(0, len(asked)))
    shared = PromptCache(model, [asked, by_others])
    said, logits = both(model, asked, targets, shared, forced_first)
    expected_said, expected_logits = both(model, asked, targets, None, forced_first)
    assert said == expected_said
    for found, expected in zip(logits, expected_logits, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("forced_first", [True, False])
def test_the_second_protocol_reads_no_prompt(forced_first: bool) -> None:
    model = tiny_model("llama")
    asked = [(0, prompt("the", "capital", "of", "France", "is")), (1, prompt("red", "is")), (0, prompt("red", "is"))]
    targets = ["red", "the old house", "old"]
    rows = [tokenise_pair(model.tokenizer, one, target) for (_, one), target in zip(asked, targets, strict=True)]
    shared = PromptCache(model, [asked, asked])
    with counted(model) as tokens:
        both(model, asked, targets, shared, forced_first)
    steps = [len(asked)] * (NEW_TOKENS - 1)
    if forced_first:
        expected = [len(asked) * max(len(row.token_ids) for row in rows), *steps]
    else:
        longest, rest = max(row.prompt_length for row in rows), max(len(row.target_ids) for row in rows) - 1
        expected = [len(asked) * longest, *steps, len(asked) * rest]
    assert tokens == expected
    assert shared.hits == len(asked)


def test_where_all_targets_have_one_token_nothing_at_all_is_read_behind_the_prompts() -> None:
    model = tiny_model("llama")
    asked = [(0, prompt("red", "is")), (0, prompt("the", "old", "town"))]
    target = next(word for word in WORDS if len(tokenise_pair(model.tokenizer, asked[0][1], word).target_ids) == 1)
    shared = PromptCache(model, [asked, asked])
    with counted(model) as tokens:
        both(model, asked, [target] * 2, shared, forced_first=False)
    assert len(tokens) == NEW_TOKENS


@pytest.mark.parametrize("targets", [["", "red", "the old house"], ["", "", ""]])
@pytest.mark.parametrize("forced_first", [False, True])
def test_a_row_without_a_target_has_no_logits_and_its_prompt_is_shared(targets: list[str], forced_first: bool) -> None:
    model = tiny_model("llama")
    asked = [(0, prompt("red", "is")), (1, prompt("the", "old", "town")), (0, prompt("the", "river"))]
    shared = PromptCache(model, [asked, asked])
    said, logits = both(model, asked, targets, shared, forced_first)
    said_apart, logits_apart = both(model, asked, targets, None, forced_first)
    assert said == said_apart
    assert logits[0].shape == (0, model.shape.vocabulary)
    for one, other in zip(logits, logits_apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert shared.hits == len(asked)


def test_another_edited_model_reads_the_same_prompt_for_itself() -> None:
    model = tiny_model("llama")
    asked = [(owner, prompt("red", "is", "the", "old", "river")) for owner in range(3)]
    said, _ = both(model, asked, ["red"] * 3, PromptCache(model, [asked, asked]), forced_first=True)
    assert len(set(said)) > 1, "the patches are to make a difference"


def test_a_prompt_that_one_protocol_puts_is_not_kept() -> None:
    model = tiny_model("llama")
    asked = [(0, prompt("red", "is")), (0, prompt("the", "old", "town"))]
    shared = PromptCache(model, [asked, asked[:1]])
    both(model, asked, ["red", "old"], shared, forced_first=True)
    with shared.activated([0, 0]):
        held = [(0, encode(model.tokenizer, one)) in shared for _, one in asked]
    assert held == [True, False]


class Twice(Greedy):
    """Reads each prompt twice, so that it is not row-wise."""

    supports_row_patches = False

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        outputs = super().generate(model, [*prompts, *prompts], [*golds, *golds], lambda row, text, count: False)
        return outputs[len(prompts) :]


@pytest.mark.parametrize("last", [False, True])
def test_a_generator_that_is_not_row_wise_reads_for_itself(last: bool) -> None:
    model = tiny_model("llama")
    once, twice = (plain_protocol(kind(NEW_TOKENS)) for kind in (Greedy, Twice))
    probes = [Probe(kind="reliability", prompt=text, answers=("red",)) for text in ("red is", "the old town of")]
    questions = render_questions(model, once, probes)
    asked = [(0, question.prompt) for question in questions]
    shared = PromptCache(model, [asked, asked])
    order = (once, twice) if last else (twice, once)
    given = [[one.text for (one,) in generate_answers(model, ready, questions, shared=shared)] for ready in order]
    assert given[0] == given[1] == [one.text for (one,) in generate_answers(model, once, questions)]
    assert shared.hits == 0


def test_a_cache_with_a_sliding_window_is_not_shared() -> None:
    model = tiny_model("mistral", sliding_window=4)
    asked = [(0, prompt("the", "capital", "of", "France", "is"))]
    shared = PromptCache(model, [asked, asked])
    assert both(model, asked, ["red"], shared, True)[0] == both(model, asked, ["red"], None, True)[0]
    assert shared.hits == 0
