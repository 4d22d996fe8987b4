"""Training with captured steps gives what training without them gives, edit after edit."""

import pytest
import torch
from torch import Tensor
from wildcore_training.asking import ask_in_place
from wildcore_training.side_by_side import Losses, Schedule, train

from wildcore import EditRequest
from wildcore.inference import GraphedSteps
from wildcore.models import LoadedModel, training_pair
from wildcore.testing.golden import relative_error
from wildcore.testing.graphs import imitated_graphs
from wildcore.testing.networks import tiny_model

SAME = 1e-5
REQUESTS = (
    EditRequest(prompt="The capital of France is", target="Rome"),
    EditRequest(prompt="Who wrote the old book that everyone in the little town by the river has read?", target="Anna"),
    EditRequest(prompt="Red is", target="the colour"),
    EditRequest(prompt="The river of the town", target="is red and it is old"),
)
SHORT = Schedule(steps=6, learning_rate=5e-4, weight_decay=0.0, loss_threshold=0.01)
LONG = Schedule(steps=30, learning_rate=0.02, weight_decay=0.0, loss_threshold=3.0)
BOUNDED = Schedule(steps=8, learning_rate=5e-4, weight_decay=0.1, loss_threshold=0.01, norm_constraint=2e-3)


def trained(model: LoadedModel, schedule: Schedule, graphs: GraphedSteps | None) -> tuple[list[Tensor], Losses]:
    """Train a weight on each request alone, and one on two requests; return the changes and the losses."""
    asked = [ask_in_place(training_pair(model, request)) for request in REQUESTS]
    losses: Losses = []
    groups = [[asked[0]], [asked[1]], [asked[2]], [asked[0]], [asked[3]], [asked[0], asked[3]]]
    return [train(model, 1, [group], schedule, losses, graphs)[0] for group in groups], losses


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_each_edit_is_what_it_is_without_graphs(family: str) -> None:
    model = tiny_model(family)
    expected, expected_losses = trained(model, SHORT, None)
    with imitated_graphs(model) as graphs:
        found, losses = trained(model, SHORT, GraphedSteps())
    assert 1 < len(graphs) < len(found), "some edits must share a graph, and some not"
    assert sum(graph.replays for graph in graphs) == len(found) * SHORT.steps - len(graphs)
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < SAME
    assert torch.equal(found[3], found[0])
    for own, others in zip(losses, expected_losses, strict=True):
        assert own == pytest.approx(others, rel=1e-5)


@pytest.mark.parametrize("schedule", [LONG, BOUNDED])
def test_ends_and_bounds_are_those_without_graphs(schedule: Schedule) -> None:
    model = tiny_model("llama")
    expected, expected_losses = trained(model, schedule, None)
    with imitated_graphs(model):
        found, losses = trained(model, schedule, GraphedSteps())
    assert [len(own) for own in losses] == [len(own) for own in expected_losses]
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < SAME


def test_a_change_stays_what_it_is_while_later_edits_are_trained() -> None:
    model = tiny_model("llama")
    asked = [ask_in_place(training_pair(model, request)) for request in REQUESTS]
    with imitated_graphs(model) as captured:
        graphs = GraphedSteps()
        (first,) = train(model, 1, [[asked[0]]], SHORT, graphs=graphs)
        before = first.clone()
        (third,) = train(model, 1, [[asked[2]]], SHORT, graphs=graphs)
    assert len(captured) == 1, "both must be trained in the same tensors"
    assert torch.equal(first, before)
    assert not torch.equal(first, third)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_on_cuda_steps_are_captured_and_agree(family: str) -> None:
    """A mask is built into the graph where an ordinary pass may do without one, so the last digits may differ."""
    model = tiny_model(family)
    model.network.to("cuda")
    model.use_cuda_graphs = False
    expected, expected_losses = trained(model, SHORT, GraphedSteps())
    model.use_cuda_graphs = None
    found, losses = trained(model, SHORT, GraphedSteps())
    assert not model.warnings
    for own, others in zip(losses, expected_losses, strict=True):
        assert own == pytest.approx(others, rel=1e-4)
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < 1e-3
