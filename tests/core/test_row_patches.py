"""Every row under its own patch gives what that patch gives alone."""

from collections.abc import Sequence
from contextlib import ExitStack

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wildcore import Prompt
from wildcore.inference import decode, map_target_logits
from wildcore.models import LoadedModel, tokenise_pair
from wildcore.patches import Dense, LowRank, RowPatches, WeightPatch
from wildcore.testing.conformance import ModelState
from wildcore.testing.networks import HIDDEN, INTERMEDIATE, tiny_model

FAMILIES = ("llama", "gpt2", "gemma2", "gpt_neox")
PROMPTS = [
    Prompt(text="The capital of Canada is"),
    Prompt(text="Rome"),
    Prompt(text="Q: Where was Marie Curie, who won the Nobel prize, born?\nA:"),
    Prompt(text="She lives in the old town and"),
]


def low_rank(generator: torch.Generator, rank: int) -> LowRank:
    left, right = (torch.randn(width, rank, generator=generator) for width in (HIDDEN, INTERMEDIATE))
    return LowRank(left * 0.3, right * 0.3)


def dense(generator: torch.Generator) -> Dense:
    return Dense(0.1 * torch.randn(HIDDEN, INTERMEDIATE, generator=generator))


def patch_of(model: LoadedModel, kind: str, seed: int) -> WeightPatch:
    """A random patch: of one layer or two, of low rank or dense."""
    generator = torch.Generator().manual_seed(seed)
    first, second = model.mlp_output(0).name, model.mlp_output(2).name
    changes = {
        "rank one": lambda: {first: low_rank(generator, 1)},
        "rank three": lambda: {second: low_rank(generator, 3)},
        "dense": lambda: {first: dense(generator)},
        "both layers": lambda: {first: low_rank(generator, 2), second: dense(generator)},
    }
    return WeightPatch(changes[kind]())


KINDS = ("rank one", "rank three", "dense", "both layers")


def logits(model: LoadedModel, prompts: Sequence[Prompt]) -> list[Tensor]:
    rows = [tokenise_pair(model.tokenizer, prompt, "the old Italy") for prompt in prompts]
    return map_target_logits(model, rows, lambda row, found: found.clone())


def alone(model: LoadedModel, patches: Sequence[WeightPatch], prompt: Prompt) -> Tensor:
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch.applied(model))
        return logits(model, [prompt])[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_batch_size", [None, 1, 3])
def test_a_row_under_its_patch_is_the_patched_model(family: str, max_batch_size: int | None) -> None:
    model = tiny_model(family)
    patches = [[patch_of(model, kind, seed)] for seed, kind in enumerate(KINDS)]
    owners = [2, 0, 3, 1]
    expected = [alone(model, patches[owner], prompt) for owner, prompt in zip(owners, PROMPTS, strict=True)]
    unedited = logits(model, PROMPTS)
    model.max_batch_size = max_batch_size
    with RowPatches(model, patches).applied(owners):
        together = logits(model, PROMPTS)
    for one, other, before in zip(together, expected, unedited, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        assert (one - before).abs().max() > 0.01, "a patch that changes nothing proves nothing"


def test_several_patches_of_one_model_add_up() -> None:
    model = tiny_model("llama")
    piled = [patch_of(model, kind, seed) for seed, kind in enumerate(KINDS)]
    patches = [piled, [], piled[:2]]
    expected = [alone(model, own, prompt) for own, prompt in zip(patches, PROMPTS, strict=False)]
    with RowPatches(model, patches).applied([0, 1, 2]):
        together = logits(model, PROMPTS[:3])
    for one, other in zip(together, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99)), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(PROMPTS), st.integers(1, 8)), min_size=1, max_size=9),
    st.integers(1, 6),
    st.sampled_from(["llama", "gpt2"]),
    st.sampled_from([None, True]),
)
def test_what_is_decoded_is_token_for_token_what_each_edited_model_says_alone(
    kinds: list[tuple[str, int]],
    asked: list[tuple[int, Prompt, int]],
    max_batch_size: int,
    family: str,
    use_cuda_graphs: bool | None,
) -> None:
    model = tiny_model(family)
    patches = [patch_of(model, kind, seed) for kind, seed in kinds]
    owners = [owner % len(patches) for owner, _, _ in asked]
    expected = []
    for owner, (_, prompt, limit) in zip(owners, asked, strict=True):
        with patches[owner].applied(model):
            expected += decode(model, [prompt], [limit], None)
    model.max_batch_size, model.use_cuda_graphs = max_batch_size, use_cuda_graphs
    with RowPatches(model, [[patch] for patch in patches]).applied(owners):
        together = decode(model, [prompt for _, prompt, _ in asked], [limit for _, _, limit in asked], None)
    assert [output.token_ids for output in together] == [output.token_ids for output in expected]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_nothing_is_left_in_the_model_whatever_happens(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    before = ModelState.of(model)
    stacked = RowPatches(model, [[patch_of(model, "both layers", 1)]])

    def interrupted() -> None:
        with stacked.applied([0]):
            logits(model, PROMPTS[:1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    before.require(model, "RowPatches.applied()")
    assert not model.listeners


def test_a_batch_of_other_rows_is_an_error_and_not_another_models_answer() -> None:
    model = tiny_model("llama")
    stacked = RowPatches(model, [[patch_of(model, "rank one", 1)]])
    with stacked.applied([0, 0, 0]), pytest.raises(RuntimeError, match="2 rows where 3 prompts are in work"):
        model.network(input_ids=torch.tensor([[1, 2], [3, 4]]))
