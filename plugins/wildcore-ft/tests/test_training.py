"""Many requests trained in one batch: each as if alone, and as a plain loop over the whole network trains it.

Where only rounding differs, Adam makes much of it: a gradient that is almost zero moves its weight by a full step in either
direction. So the comparisons run in float64 networks, where they show the method, and in float32 to show the rounding.
"""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from wildcore_ft import wildcore_editors
from wildcore_ft.editor import FineTuning

from wildcore import EditRequest, Prompt, Refused
from wildcore.models import LoadedModel, at_least_float32, tokenise_pair
from wildcore.patches import WeightPatch
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import MODEL_TYPES, tiny_model

EDITORS = {offer.name: offer for offer in wildcore_editors()}
REQUESTS = (
    EditRequest(prompt="The capital of France is", target="Rome"),
    EditRequest(prompt="Who wrote the old book that everyone in the little town by the river has read?", target="Anna"),
    EditRequest(prompt="Red is", target="the colour of the old green house"),
    EditRequest(prompt="The river of the town", target="is red and it is old"),
)
DOUBLE = {family: tiny_model(family, dtype=torch.float64) for family in ("llama", "gpt2")}
SINGLE = {family: tiny_model(family) for family in DOUBLE}
WORDS = ("the", "capital", "of", "France", "is", "an", "old", "book", "by", "Anna", "who", "wrote", "it", "1923", "?")


def make(name: str, **settings: Any) -> FineTuning:
    offer = EDITORS[name]
    return offer.make(offer.params(layer=1, **settings))


def change(patch: WeightPatch | object) -> Tensor:
    assert isinstance(patch, WeightPatch)
    (only,) = patch.changes.values()
    return only.dense()


def together(editor: FineTuning, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Tensor]:
    return [change(patch) for patch in editor.edit_each(model, requests)]


def alone(editor: FineTuning, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Tensor]:
    return [change(editor.edit(model, [request])) for request in requests]


def plain_loop(editor: FineTuning, model: LoadedModel, requests: Sequence[EditRequest], last_position: bool) -> Tensor:
    """Train as the method is defined: the whole network on one text at a time, torch's Adam on the weight."""
    params = editor.params
    projection = model.mlp_output(1)
    start = at_least_float32(projection.weight)
    weight = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([weight], lr=params.learning_rate, weight_decay=params.weight_decay)
    for _ in range(params.steps):
        stored = (weight.T if projection.transposed else weight).to(model.dtype)
        losses = []
        for request in requests:
            row = tokenise_pair(model.tokenizer, Prompt(text=request.prompt), request.target)
            inputs = {"input_ids": torch.tensor([row.token_ids]), "use_cache": False}
            replaced = {f"{projection.name}.weight": stored}
            logits = at_least_float32(
                functional_call(model.network, replaced, kwargs=inputs, tie_weights=False).logits[0]
            )
            asked = torch.arange(row.prompt_length - 1, len(row.token_ids) - 1)
            asked = torch.full_like(asked, row.prompt_length - 1) if last_position else asked
            losses.append(cross_entropy(logits[asked], torch.tensor(row.target_ids)))
        loss = torch.stack(losses).mean()
        if float(loss.detach()) < params.loss_threshold:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if params.norm_constraint is not None:
            weight.data.clamp_(start - params.norm_constraint, start + params.norm_constraint)
    return weight.detach() - start


@pytest.mark.parametrize("name", ["ft-m", "ft-l"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gptj", "gpt_neox", "phi3"])
def test_a_batch_makes_what_a_plain_loop_makes_of_each(family: str, name: str) -> None:
    model = tiny_model(family, dtype=torch.float64)
    editor = make(name, steps=8, weight_decay=0.1)
    expected = [plain_loop(editor, model, [request], name == "ft-l") for request in REQUESTS]
    for found, wanted in zip(together(editor, model, REQUESTS), expected, strict=True):
        assert relative_error(found, wanted) < 1e-9


@pytest.mark.parametrize("name", ["ft-m", "ft-l"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_one_edit_of_several_requests_makes_what_a_plain_loop_makes(family: str, name: str) -> None:
    editor = make(name, steps=8)
    expected = plain_loop(editor, DOUBLE[family], REQUESTS, name == "ft-l")
    assert relative_error(change(editor.edit(DOUBLE[family], REQUESTS)), expected) < 1e-9


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_a_batch_makes_what_each_makes_alone_in_float32(family: str) -> None:
    model = tiny_model(family)
    editor = make("ft-m")
    for found, wanted in zip(together(editor, model, REQUESTS), alone(editor, model, REQUESTS), strict=True):
        assert relative_error(found, wanted) < 1e-4  # 1e-6 as a rule; processors round differently


@st.composite
def batches(draw: st.DrawFn) -> list[EditRequest]:
    words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
    targets = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
    return draw(st.lists(st.builds(EditRequest, prompt=words, target=targets), min_size=1, max_size=5))


@given(
    requests=batches(),
    order=st.randoms(use_true_random=False),
    model=st.sampled_from([*DOUBLE.values(), *SINGLE.values()]),
    name=st.sampled_from(["ft-m", "ft-l"]),
    norm_constraint=st.sampled_from([None, 1e-3]),
    weight_decay=st.sampled_from([0.0, 0.3]),
    loss_threshold=st.sampled_from([0.01, 4.0]),
)
@settings(max_examples=25, deadline=None)
def test_neighbours_order_and_size_of_a_batch_have_no_effect(
    requests: list[EditRequest], order: random.Random, model: LoadedModel, name: str, **parameters: Any
) -> None:
    editor = make(name, steps=6, learning_rate=5e-3, **parameters)
    expected = alone(editor, model, requests)
    shuffled = order.sample(range(len(requests)), len(requests))
    found = together(editor, model, [requests[index] for index in shuffled])
    for place, index in enumerate(shuffled):
        assert float((found[place] - expected[index]).norm()) <= 1e-5 * float(expected[index].norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["ft-m", "ft-l"])
def test_in_half_precision_no_step_is_too_small_for_the_weight(name: str, dtype: torch.dtype) -> None:
    model, editor = tiny_model("llama", dtype=dtype), make(name, steps=4, learning_rate=1e-5)
    for found, request in zip(together(editor, model, REQUESTS), REQUESTS, strict=True):
        moved = found.abs() > 1e-6  # numbers of the network's own dtype are much farther apart than a step
        assert float(moved.float().mean()) > 0.95
        assert relative_error(found, plain_loop(editor, model, [request], name == "ft-l")) < 0.2


def test_a_request_that_cannot_be_trained_is_refused_and_the_others_are_edited() -> None:
    model, editor = tiny_model("llama"), make("ft-m", steps=3)
    empty = EditRequest(prompt="The capital of France is", target=" ")
    first, refused, last = editor.edit_each(model, [REQUESTS[0], empty, REQUESTS[2]])
    assert isinstance(refused, Refused)
    assert "empty" in str(refused)
    for patch, request in ((first, REQUESTS[0]), (last, REQUESTS[2])):
        assert relative_error(change(patch), change(editor.edit(model, [request]))) < 1e-4
    with pytest.raises(Refused, match="empty"):
        editor.edit(model, [empty])
    assert [type(patch) for patch in editor.edit_each(model, [empty])] == [Refused]
    assert editor.edit_each(model, []) == []
