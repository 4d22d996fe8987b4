"""Values found with captured steps are those found without them, edit after edit."""

from dataclasses import replace

import pytest
import torch
from wildcore_keyvalue.layer_parameters import SeveralLayersParams
from wildcore_keyvalue.transforms import ValueFinder
from wildcore_keyvalue.values import AfterFirstSuccess, OptimisedValue, Place, pose, required

from wildcore import EditRequest, Prompt
from wildcore.inference import GraphedSteps
from wildcore.models import LoadedModel, tokenise_pair
from wildcore.testing.golden import relative_error
from wildcore.testing.graphs import imitated_graphs
from wildcore.testing.networks import tiny_model
from wildcore.testing.reference_decoding import decoded

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


@pytest.mark.parametrize(("divergence_threshold", "steps"), [(1e-3, 1), (-1.0, 7)])
def test_after_the_first_success_the_next_steps_change_also_with_graphs(
    divergence_threshold: float, steps: int
) -> None:
    """The target is what the model says anyway."""
    model = tiny_model("llama")
    params = SeveralLayersParams(layers=(1,), steps=7, learning_rate=0.5, loss_threshold=0.0)
    request = next(filter(None, (said_anyway(model, subject) for subject in ("France", "Canada", "Peru", "the town"))))
    problems = required(pose(model, [request], ("",), params.close_target))
    once_said = AfterFirstSuccess(target_factor=0.1, divergence_threshold=divergence_threshold)
    finder = ValueFinder(model, 1, params, "layer-output", once_said)
    (expected,) = finder.find(problems)
    assert len(expected.losses) == steps
    assert steps == 1 or expected.losses[1] < 0.5 * expected.losses[0]
    graphs = GraphedSteps()
    with imitated_graphs(model):
        for _ in range(2):
            (value,) = replace(finder, graphs=graphs).find(problems)
            assert value.losses == pytest.approx(expected.losses, rel=1e-4)
            assert relative_error(value.value, expected.value) < SAME


def said_anyway(model: LoadedModel, subject: str) -> EditRequest | None:
    """Return a request whose target is the token that the model says first. None: it is no text of its own."""
    prompt = f"{subject} is in"
    ((token,),) = decoded(model, [Prompt(text=prompt)], 1)
    text = model.tokenizer.decode([token]).strip()
    if not text or tokenise_pair(model.tokenizer, Prompt(text=prompt), text).target_ids != (token,):
        return None
    return EditRequest(prompt=prompt, subject=subject, target=text)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("place", ["mlp-output", "layer-output", "attention-and-mlp"])
def test_on_cuda_steps_are_captured_and_agree(place: Place) -> None:
    model = tiny_model("llama")
    model.network.to("cuda")
    params = SeveralLayersParams(layers=(1,), steps=7, learning_rate=0.5, loss_threshold=0.0)
    finder = ValueFinder(model, 1, params, place, ONCE_SAID, GraphedSteps())
    model.use_cuda_graphs = False
    expected = found(finder)
    model.use_cuda_graphs = None
    values = found(finder)
    assert not model.warnings
    for one, other in zip(values, expected, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-3)
        assert relative_error(one.value, other.value) < 1e-3
