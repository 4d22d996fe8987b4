"""Weights of a loaded model can be trained for a while, and a view of one that cannot says what to do."""

import copy

import pytest
import torch
from torch import nn

from wildcore.models import LoadedModel, Projection
from wildcore.testing.conformance import ModelState
from wildcore.testing.networks import tiny_model


class Interruption(Exception):
    """Raised while a weight is trained."""


def train(model: LoadedModel, parameters: tuple[nn.Parameter, ...], learning_rate: float = 0.1) -> None:
    """Take a step that changes every weight which the loss depends on."""
    ids = torch.tensor([model.tokenizer("The capital of Canada is Ottawa").input_ids])
    optimiser = torch.optim.SGD(parameters, lr=learning_rate)
    model.network(ids, labels=ids).loss.backward()
    optimiser.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
@pytest.mark.parametrize("learning_rate", [0.1, float("nan")])
def test_training_changes_the_weights_named_and_then_nothing_is_left(
    model_type: str, dtype: torch.dtype, learning_rate: float
) -> None:
    model = tiny_model(model_type, dtype=dtype)
    projections = [model.mlp_output(layer) for layer in (0, 2)]
    before, starts = ModelState.of(model), [projection.weight.clone() for projection in projections]
    with torch.no_grad(), model.trainable(*projections) as parameters:
        assert [p.shape for p in parameters] == [p.module.weight.shape for p in projections]
        train(model, parameters, learning_rate)
        for projection, start in zip(projections, starts, strict=True):
            assert projection.weight.shape == start.shape
            assert (projection.weight != start).any()
        others = {name for name, p in model.network.named_parameters() if p.grad is not None}
        assert others == {f"{projection.name}.weight" for projection in projections}
    before.require(model, "trainable()")


def test_an_exception_or_exchanged_data_leave_nothing_either() -> None:
    model = tiny_model("llama")
    projection, before = model.mlp_output(1), ModelState.of(model)

    def interrupted() -> None:
        with model.trainable(projection) as (parameter,):
            train(model, (parameter,))
            parameter.data = torch.zeros_like(parameter.data, dtype=torch.float16)
            raise Interruption

    with pytest.raises(Interruption):
        interrupted()
    before.require(model, "trainable()")


def test_gradients_and_flags_of_before_come_back() -> None:
    model = tiny_model("llama")
    projection = model.mlp_output(1)
    gradient = torch.ones_like(projection.parameter)
    projection.parameter.requires_grad_(True)
    projection.parameter.grad = gradient
    with model.trainable(projection) as (parameter,):
        assert parameter.grad is None, "an optimiser must not take a step on what was there before"
        train(model, (parameter,))
    assert projection.parameter.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert projection.parameter.requires_grad


def set_the_flag(projection: Projection) -> None:
    projection.weight.requires_grad = True


@pytest.mark.parametrize(
    "misuse",
    [
        set_the_flag,
        lambda projection: projection.weight.requires_grad_(),
        lambda projection: projection.weight.float().requires_grad_(True),
        lambda projection: projection.weight.detach().requires_grad_(True),
        lambda projection: nn.Parameter(projection.weight),
    ],
)
@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_who_would_train_a_view_is_told_how_to_train_the_weight(misuse, model_type: str) -> None:
    projection = tiny_model(model_type).mlp_output(1)
    with pytest.raises(RuntimeError, match=r"is a view.*with model\.trainable\(projection\) as \(parameter,\)"):
        misuse(projection)


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_what_is_made_of_a_view_is_an_ordinary_tensor(model_type: str) -> None:
    weight = tiny_model(model_type).mlp_output(1).weight
    made = [weight.clone(), weight.T, weight @ weight.T, weight.double(), torch.zeros_like(weight), weight[0]]
    assert {type(tensor) for tensor in [*made, copy.deepcopy(weight)]} == {torch.Tensor}
    copied = weight.clone().requires_grad_(True)
    (2 * copied).sum().backward()
    assert copied.grad is not None
    assert not weight.requires_grad_(False).requires_grad
