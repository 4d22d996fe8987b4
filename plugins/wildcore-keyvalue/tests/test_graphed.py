"""Values found with captured steps are those found without them, edit after edit."""

from dataclasses import replace

import pytest
from wildcore_keyvalue.layer_parameters import SeveralLayersParams
from wildcore_keyvalue.transforms import ValueFinder
from wildcore_keyvalue.values import AfterFirstSuccess, OptimisedValue, Place, pose, required

from wildcore import EditRequest
from wildcore.inference import GraphedSteps
from wildcore.testing.golden import relative_error
from wildcore.testing.graphs import imitated_graphs
from wildcore.testing.networks import tiny_model

SAME = 1e-5
PREFIXES = ("", "The old town. ", "Because of the weather in the north. ")
REQUESTS = [
    EditRequest(prompt=form.format(subject), subject=subject, target=target)
    for form, subject, target in [
        ("The capital of {} is", "France", "Rome"),
        ("Who wrote about {} and why?", "the old book of the town", "Anna Smith"),
        ("{} is in", "Canada", "the old Italy of the north, where everyone reads"),
        ("The capital of {} is", "Peru", "Paris"),
    ]
]
ONCE_SAID = AfterFirstSuccess(target_factor=0.1, divergence_threshold=0.05)


def found(finder: ValueFinder) -> list[OptimisedValue]:
    """Return the value of each request, found alone."""
    problems = required(pose(finder.model, REQUESTS, PREFIXES, finder.params.close_target))
    return [finder.find([problem])[0] for problem in problems]


def compare(finder: ValueFinder) -> list[OptimisedValue]:
    """Compare the values found with and without graphs; return the latter."""
    expected = found(finder)
    with imitated_graphs(finder.model) as graphs:
        values = found(replace(finder, graphs=GraphedSteps()))
    assert 0 < len(graphs) < len(REQUESTS)
    for one, other in zip(values, expected, strict=True):
        assert len(one.losses) == len(other.losses)
        assert one.losses == pytest.approx(other.losses, rel=1e-4)
        assert relative_error(one.delta, other.delta) < SAME or not other.delta.norm()
        assert relative_error(one.value, other.value) < SAME
        assert relative_error(one.mlp, other.mlp) < SAME
    return expected


@pytest.mark.parametrize(
    ("family", "place", "once_said"),
    [
        ("llama", "mlp-output", None),
        ("gpt2", "layer-output", None),
        ("gemma2", "layer-output", None),
        ("llama", "attention-and-mlp", None),
        ("llama", "layer-output", ONCE_SAID),
    ],
)
def test_each_value_is_what_it_is_without_graphs(
    family: str, place: Place, once_said: AfterFirstSuccess | None
) -> None:
    free = SeveralLayersParams(layers=(1,), steps=7, learning_rate=0.5, loss_threshold=0.0)
    finder = ValueFinder(tiny_model(family), 1, free, place, once_said)
    losses = sorted(value.losses[min(3, len(value.losses) - 1)] for value in compare(finder))
    ending = free.model_copy(update={"loss_threshold": losses[1] + 1e-3})
    assert len({len(value.losses) for value in compare(replace(finder, params=ending))}) > 1, "none ends early"


def test_a_satisfied_problem_ends_also_with_graphs() -> None:
    """One text and a short target, which the random network can be made to say."""
    params = SeveralLayersParams(
        layers=(1,), steps=30, learning_rate=0.5, loss_threshold=0.0, clamp_factor=50, kl_factor=0, weight_decay=0
    )
    once_said = AfterFirstSuccess(target_factor=0.1, divergence_threshold=1e9)
    finder = ValueFinder(tiny_model("llama"), 1, params, "layer-output", once_said)
    request = EditRequest(prompt="France is in", subject="France", target="a")
    problems = required(pose(finder.model, [request], ("",), params.close_target))
    (expected,) = finder.find(problems)
    with imitated_graphs(finder.model) as graphs:
        (value,) = replace(finder, graphs=GraphedSteps()).find(problems)
    assert graphs
    assert 2 < len(expected.losses) < params.steps
    assert value.losses == pytest.approx(expected.losses, rel=1e-4)
    assert relative_error(value.delta, expected.delta) < SAME
