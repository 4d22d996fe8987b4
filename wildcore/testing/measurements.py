"""Checks, on a real model, that every measurement must pass.

from wildcore.testing.conformance import quiet_environment
from wildcore.testing.measurements import check_measurement
from wildcore.testing.networks import tiny_model

def test_my_measurement(tmp_path):
    check_measurement(make_my_measurement, tiny_model("llama"), quiet_environment(tmp_path))
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wildcore.interfaces import Environment, Measurement, Patch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.patches.modules import NOWHERE, ModulePatch
from wildcore.patches.prompts import PromptPatch
from wildcore.patches.weights import Dense, WeightPatch
from wildcore.testing.conformance import ModelState
from wildcore.types import Measured, Prompt

MakeMeasurement = Callable[[], Measurement]


def check_measurement(
    make: MakeMeasurement, model: LoadedModel, environment: Environment, reacts: bool = True
) -> list[Measured]:
    """Measure ``model`` unedited and under patches of every kind, and return the numbers of the unedited model.

    The names are the same in the same order each time, the numbers are the same twice, and the model and torch's random state
    are left unchanged. ``reacts`` False: the numbers need not differ under a patch of weights or of a module, for example
    because a small random network answers nothing right either way.

    Raises ``AssertionError``, whose message says what the measurement did and what it must do.
    """
    measurement = make()
    measurement.prepare(environment)
    described = json.dumps(dict(measurement.pin_resources()), sort_keys=True)
    unedited = _measured(measurement, model, "the unedited model")
    _check_numbers(unedited)
    _check_same_twice(make, model, environment, unedited)
    for what, patch in _patches(model).items():
        with patch.applied(model):
            edited = _measured(measurement, model, f"a model with {what}")
        _require_names(unedited, edited, what)
        _require_sentences(measurement.signs_of_collapse(unedited, edited), what)
        if reacts and not isinstance(patch, PromptPatch):
            assert edited != unedited, f"measure() returns the same numbers for a model with {what}; measure it anew"
    again = _measured(measurement, model, "the unedited model")
    assert again == unedited, "measure() returns other numbers for the unedited model after edited ones; keep no state"
    again_described = json.dumps(dict(measurement.pin_resources()), sort_keys=True)
    assert again_described == described, "pin_resources() returns another description after measuring"
    signs = measurement.signs_of_collapse(unedited, unedited)
    assert not list(signs), f"signs_of_collapse() says that the unedited model has collapsed: {'; '.join(signs)}"
    return unedited


def _measured(measurement: Measurement, model: LoadedModel, what: str) -> list[Measured]:
    """Return the numbers of ``model``; raise ``AssertionError`` if measuring them changes anything."""
    before, random = ModelState.of(model), torch.random.get_rng_state()
    found = list(measurement.measure(model))
    before.require(model, f"measure() of {what}")
    same = torch.equal(random, torch.random.get_rng_state())
    assert same, f"measure() of {what} draws from torch's global random state; use a torch.Generator"
    return found


def _check_numbers(numbers: Sequence[Measured]) -> None:
    names = [one.name for one in numbers]
    assert names, "measure() returns no number"
    assert len(set(names)) == len(names), f"measure() returns two numbers of the same name: {', '.join(names)}"
    for one in numbers:
        read = Measured.model_validate_json(one.model_dump_json())
        assert read == one, f"the number {one.name} changes when it is written as JSON and read back"


def _check_same_twice(
    make: MakeMeasurement, model: LoadedModel, environment: Environment, unedited: list[Measured]
) -> None:
    another = make()
    another.prepare(environment)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        again = _measured(another, model, "the unedited model")
    assert again == unedited, "a second measurement of the same model gives other numbers"


def _require_names(unedited: Sequence[Measured], edited: Sequence[Measured], what: str) -> None:
    before, after = ([one.name for one in numbers] for numbers in (unedited, edited))
    assert before == after, (
        f"measure() of a model with {what} returns the numbers {', '.join(after)}, and of the unedited model "
        f"{', '.join(before)}; return the same names in the same order, without a value where there is none"
    )


def _require_sentences(signs: Sequence[str], what: str) -> None:
    assert not isinstance(signs, str), "signs_of_collapse() returns a text; return a list of texts"
    assert all(sign.strip() for sign in signs), f"signs_of_collapse() returns an empty text for a model with {what}"


def _patches(model: LoadedModel) -> Mapping[str, Patch]:
    """Return a patch of every kind, by what it is."""
    projection = model.mlp_output(0)
    weight = projection.weight
    return {
        "changed weights": WeightPatch({projection.name: Dense(-2 * weight.float())}),
        "weights that are not finite": WeightPatch({projection.name: Dense(torch.full_like(weight, torch.nan))}),
        "a patch that acts at the prompt's last token": _AtPromptEnd(projection.name),
        "a patch that changes prompts": _Prefix(),
    }


class _AtPromptEnd(ModulePatch):
    """Turns the output at each prompt's last token around, like a codebook with an entry for every prompt.

    A pass in which a whole text is announced as prompt is changed at its very end only, where nothing is predicted.
    """

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Return one route for all prompts."""
        return torch.zeros(len(prompt), dtype=torch.long, device=prompt.device)

    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Return ``output`` with a large vector at the prompts' ends."""
        (rows,) = (prompt_end != NOWHERE).nonzero(as_tuple=True)
        changed = output.clone()
        changed[rows, prompt_end[rows]] = -10 * output[rows, prompt_end[rows]]
        return changed

    def to_saved(self) -> Saved:
        """Return the module's name."""
        return Saved({}, {"module": self.module})

    def describe(self) -> Mapping[str, Any]:
        """Return that all numbers are finite."""
        return {"finite": True}


class _Prefix(PromptPatch):
    """Puts a short text before every prompt."""

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        """Return the prompts after the text."""
        return [prompt.model_copy(update={"text": f"So. {prompt.text}"}) for prompt in prompts]

    def to_saved(self) -> Saved:
        """Return nothing: the text is fixed."""
        return Saved({}, {})

    def describe(self) -> Mapping[str, Any]:
        """Return that all numbers are finite."""
        return {"finite": True}
