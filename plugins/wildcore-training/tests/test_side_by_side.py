"""Weights trained side by side: each for itself, each to its own end, and nothing computed that does not change."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from wildcore_training import side_by_side
from wildcore_training.asking import Asked, ask_in_place
from wildcore_training.side_by_side import Schedule, train

from wildcore import EditRequest
from wildcore.inference import PartialForward
from wildcore.models import LoadedModel, TokenisedPair, training_pair
from wildcore.testing.networks import tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", target="Rome"),
    EditRequest(prompt="Who wrote the old book that everyone in the little town by the river has read?", target="Anna"),
    EditRequest(prompt="Red is", target="the colour of the old green house"),
    EditRequest(prompt="The river of the town", target="is red and it is old"),
)
SHORT = Schedule(steps=6, learning_rate=5e-4, weight_decay=0.0, loss_threshold=0.01)
LONG = Schedule(steps=60, learning_rate=0.02, weight_decay=0.0, loss_threshold=3.0)


def groups(model: LoadedModel) -> list[list[Asked]]:
    """Return each request as a group of its own."""
    return [[ask_in_place(training_pair(model, request))] for request in REQUESTS]


@given(st.integers(1, 9), st.integers(1, 9))
def test_each_target_token_is_asked_of_the_token_before_it(prompt: int, target: int) -> None:
    ids = tuple(range(100, 100 + prompt + target))
    asked = ask_in_place(TokenisedPair("", ids, ((0, 0),) * len(ids), prompt))
    assert asked.labels == ids[prompt:]
    assert [asked.token_ids[place] + 1 for place in asked.places] == list(asked.labels)
    assert len(asked.token_ids) == asked.places[-1] + 1


def test_no_group_is_no_work() -> None:
    assert train(tiny_model("llama"), 1, [], SHORT) == []


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -1e30])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_diverging_neighbour_disturbs_no_one(family: str, poison: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(family)
    healthy = train(model, 1, groups(model), SHORT)
    diverging = groups(model)[1]
    step = side_by_side._Weight.step

    def poisoned(weight: side_by_side._Weight, inputs: Tensor, gradient: Tensor) -> None:
        step(weight, inputs, gradient)
        if list(weight.group) == diverging:
            weight.value.fill_(poison)

    monkeypatch.setattr(side_by_side._Weight, "step", poisoned)
    changes = train(model, 1, groups(model), SHORT)
    assert float(changes[1].abs().max()) > 1e20 or not changes[1].isfinite().any()
    for index in (0, 2, 3):
        assert torch.equal(changes[index], healthy[index])


def test_a_group_ends_when_its_own_loss_is_small_and_leaves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    steps: dict[tuple[int, ...], int] = {}
    rows: list[int] = []
    step, run = side_by_side._Weight.step, PartialForward.run

    def counted(weight: side_by_side._Weight, inputs: Tensor, gradient: Tensor) -> None:
        labels = weight.group[0].labels
        steps[labels] = steps.get(labels, 0) + 1
        step(weight, inputs, gradient)

    def watched(upper: PartialForward, output: Tensor | None = None) -> Tensor:
        rows.append(len(upper.inputs))
        return run(upper, output)

    monkeypatch.setattr(side_by_side._Weight, "step", counted)
    monkeypatch.setattr(PartialForward, "run", watched)
    train(model, 1, groups(model), LONG)
    in_batch, rows_in_batch = dict(steps), list(rows)
    steps.clear()
    for group in groups(model):
        train(model, 1, [group], LONG)
    assert in_batch == steps
    assert len(set(in_batch.values())) > 1
    assert max(in_batch.values()) < LONG.steps
    assert rows_in_batch == [sum(taken >= done for taken in in_batch.values()) for done in range(len(rows_in_batch))]


def test_layers_below_are_computed_once() -> None:
    model, calls = tiny_model("llama"), []
    inside = model.projection("model.layers.0.mlp.down_proj").module
    handle = inside.register_forward_hook(lambda *_: calls.append(1))
    train(model, 1, groups(model), SHORT)
    handle.remove()
    assert len(calls) == 1
