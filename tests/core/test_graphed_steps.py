"""Captured steps: kept by settings and shapes, for one model whose weights stay, and never without a word if a capture fails."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from wildcore.inference import GraphedSteps, graphed_steps
from wildcore.inference.cuda_graphs import is_on_one_device
from wildcore.models import LoadedModel
from wildcore.testing.graphs import imitated_graphs
from wildcore.testing.networks import tiny_model


@dataclass(frozen=True)
class Doubling:
    """Doubles its input; counts how often it is computed."""

    values: Tensor
    calls: list[int]
    settings: int = 0

    def tensors(self) -> list[Tensor]:
        """Return the input."""
        return [self.values]

    def compute(self) -> tuple[Tensor, ...]:
        """Return twice the input."""
        self.calls.append(1)
        return (self.values * 2,)


def doubling(length: int, value: float, settings: int = 0) -> Doubling:
    return Doubling(torch.full((length,), value), [], settings)


@pytest.fixture
def model() -> LoadedModel:
    return tiny_model("llama")


def test_steps_of_equal_shapes_and_settings_share_a_graph_and_its_tensors(model: LoadedModel) -> None:
    with imitated_graphs(model) as graphs:
        steps = GraphedSteps()
        first = steps.load(model, doubling(3, 1.0))
        assert [float(first.run()[0][0]) for _ in range(3)] == [2.0] * 3
        again = steps.load(model, doubling(3, 5.0))
        assert again is first
        assert float(again.run()[0][0]) == 10.0
        for other in (doubling(4, 1.0), doubling(3, 1.0, settings=1)):
            assert steps.load(model, other) is not first
    assert [graph.replays for graph in graphs] == [3]


def test_a_step_runs_once_before_it_is_captured_and_is_only_replayed_afterwards(model: LoadedModel) -> None:
    with imitated_graphs(model) as graphs:
        step = GraphedSteps().load(model, doubling(2, 1.0))
        step.run()
        assert not graphs
        step.run()
        assert len(graphs) == 1


def test_the_step_unused_for_the_longest_time_is_dropped(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphed_steps, "MOST_SHAPES", 2)
    steps = GraphedSteps()
    one, two = (steps.load(model, doubling(length, 1.0)) for length in (1, 2))
    assert steps.load(model, doubling(1, 1.0)) is one
    steps.load(model, doubling(3, 1.0))
    assert steps.load(model, doubling(1, 1.0)) is one
    assert steps.load(model, doubling(2, 1.0)) is not two


def test_weights_at_other_addresses_or_another_model_have_steps_of_their_own(model: LoadedModel) -> None:
    steps = GraphedSteps()
    first = steps.load(model, doubling(2, 1.0))
    weight = model.mlp_output(1).parameter
    with torch.no_grad():
        weight.add_(1)
    assert steps.load(model, doubling(2, 1.0)) is first, "a weight changed in place is read anew"
    weight.data = weight.data.clone()
    moved = steps.load(model, doubling(2, 1.0))
    assert moved is not first
    assert steps.load(tiny_model("gpt2"), doubling(2, 1.0)) is not moved


def test_only_a_plain_network_and_small_batches_suit(model: LoadedModel) -> None:
    steps = GraphedSteps()
    assert not steps.suit(model, 10), "without CUDA, steps are captured only if that is asked for"
    model.use_cuda_graphs = True
    assert steps.suit(model, graphed_steps.MOST_TOKENS)
    assert not steps.suit(model, graphed_steps.MOST_TOKENS + 1)
    module = model.mlp_output(1).module
    for hook in (module.register_forward_hook(print), module.register_forward_pre_hook(print)):
        assert not steps.suit(model, 10)
        hook.remove()
    vars(module)["forward"] = module.forward
    assert not steps.suit(model, 10)
    del vars(module)["forward"]
    assert steps.suit(model, 10)
    model.use_cuda_graphs = False
    assert not steps.suit(model, 10)


def test_a_capture_that_fails_is_noted_and_not_tried_again(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(compute: object, device: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with imitated_graphs(model), monkeypatch.context() as within:  # undone before the imitation is
        within.setattr(graphed_steps, "capture", failing)
        steps = GraphedSteps()
        assert steps.suit(model, 10)
        step = steps.load(model, doubling(2, 3.0))
        assert [float(step.run()[0][0]) for _ in range(3)] == [6.0] * 3
        assert not steps.suit(model, 10)
    assert len(model.warnings) == 1
    assert "optimisation steps could not be captured as a CUDA graph" in model.warnings[0]
    assert "out of memory" in model.warnings[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_real_graph_computes_from_the_tensors_as_they_are() -> None:
    model = tiny_model("llama")
    model.network.to("cuda")
    step = GraphedSteps().load(model, Doubling(torch.ones(3, device="cuda"), []))
    for value in (1.0, 2.0, 3.0, 4.0):
        step.step.values.fill_(value)
        assert float(step.run()[0][0]) == 2 * value
    assert len(step.step.calls) == 2, "run once, captured once"


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_graph_holds_the_work_of_the_device_that_its_model_is_on() -> None:
    for device in ("cuda:0", "cuda:1", "cuda:0"):
        model = tiny_model("llama")
        model.network.to(device)
        step = GraphedSteps().load(model, Doubling(torch.ones(3, device=device), []))
        for value in (1.0, 2.0, 3.0, 4.0):
            step.step.values.fill_(value)
            assert float(step.run()[0][0]) == 2 * value
        assert len(step.step.calls) == 2, "run once, captured once"


def test_no_graphs_are_wanted_of_a_model_on_several_devices(model: LoadedModel) -> None:
    assert is_on_one_device(model.network)
    model.layers[0].mlp.to("meta")
    assert not is_on_one_device(model.network)
