"""MEND against what published code makes of the same requests with the same hyper-network.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_mend.editor import Mend
from wildcore_mend.examples import Trial, generator_for
from wildcore_mend.gradients import Factors
from wildcore_mend.losses import losses_after
from wildcore_mend.network import GradientTransform, HyperNetwork, Statistics
from wildcore_mend.parameters import MendParams

from wildcore import EditRequest
from wildcore.models import LoadedModel, training_pair
from wildcore.patches import WeightPatch
from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
MODELS = ["tiny-llama", "tiny-gpt2"]
EDITS = [run for run in GOLDEN.runs("") if not run.endswith("/training")]


def settings(model: LoadedModel, **changes: Any) -> MendParams:
    """Return the parameters of the golden runs: the published edit on a rank that suits a tiny model."""
    return MendParams(rank=GOLDEN.content["rank"], **changes).for_model(model.shape)


def published_network(name: str, model: LoadedModel, statistics: bool = True) -> HyperNetwork:
    """Return the hyper-network whose weights are stored."""
    network = HyperNetwork(model, GOLDEN.content["models"][name]["modules"], settings(model), generator_for(0))
    network.rates.data.copy_(GOLDEN.tensor(name, "network.rates"))
    for shape, transform in network.transforms.items():
        for number, layer in enumerate(transform.layers):
            for part, parameter in layer.named_parameters():
                parameter.data.copy_(GOLDEN.tensor(name, f"network.{shape}.{number}.{part}"))
        for letter, observed in (("u", transform.of_inputs), ("v", transform.of_deltas)) if statistics else ():
            give(observed, *(GOLDEN.tensor(name, f"network.{shape}.{letter}_{what}") for what in ("mean", "std")))
    return network


def give(observed: Statistics, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    observed.count.fill_(2)
    observed.mean.copy_(mean)
    observed.squares.copy_(deviation**2)


def editor(run: dict[str, Any], **changes: Any) -> tuple[LoadedModel, Mend]:
    model = GOLDEN.model(run["model"])
    made = Mend(settings(model, **changes))
    made.network = published_network(run["model"], model).requires_grad_(False)
    return model, made


def requests(run: dict[str, Any]) -> list[EditRequest]:
    return [EditRequest(**GOLDEN.content["requests"][name]) for name in run["requests"]]


def worst(run: dict[str, Any], patch: WeightPatch) -> float:
    """Return the largest relative error of all modules."""
    assert set(patch.changes) == set(GOLDEN.content["models"][run["model"]]["modules"])
    return max(relative_error(own.dense(), published(run, name)) for name, own in patch.changes.items())


def published(run: dict[str, Any], name: str) -> torch.Tensor:
    left, right = (GOLDEN.tensor(run["model"], f"{run['tensors']}/{name}.{side}") for side in ("left", "right"))
    return left @ right.T


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_the_transform_agrees_with_published_code(name: str) -> None:
    network = published_network(name, GOLDEN.model(name))
    for shape, transform in network.transforms.items():
        inputs, deltas, *after = (
            GOLDEN.tensor(name, f"transform.{shape}.{part}")
            for part in ("inputs", "deltas", "inputs-after", "deltas-after")
        )
        kept = (inputs != 0).any(-1)
        assert 0 < kept.sum() < len(kept), "one token is zero, and both leave it out"
        normalised = transform.normalised(Factors(inputs[kept], deltas[kept]))
        found = transform(normalised, torch.ones(len(normalised), dtype=torch.long))
        assert near(relative_error(found, torch.cat(after, -1)), AGREEMENT)


@pytest.mark.parametrize("identifier", EDITS)
def test_the_edit_agrees_with_published_code(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = editor(run, train_beginning_of_sequence=run["repository"] == "easyedit", batch_loss="mean")
    assert near(worst(run, made.edit(model, requests(run))), AGREEMENT)


@pytest.mark.parametrize("identifier", [run for run in EDITS if "/original/" in run and "together" not in run])
def test_by_default_a_single_edit_is_that_of_the_original_code(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = editor(run)
    assert near(worst(run, made.edit(model, requests(run))), AGREEMENT)


@pytest.mark.parametrize("identifier", [run for run in EDITS if "/easyedit/" in run])
def test_easyedit_also_asks_for_the_beginning_of_sequence(identifier: str) -> None:
    """Its labels are the target's tokens with the one that the tokenizer puts in front, so the token before the prompt's last is
    asked to be followed by it."""
    run = GOLDEN.run(identifier)
    model, made = editor(run)
    assert far(worst(run, made.edit(model, requests(run))), AGREEMENT)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("wrong", ["statistics", "rates"])
def test_a_wrong_method_is_told_from_rounding(name: str, wrong: str) -> None:
    run = GOLDEN.run(next(edit for edit in EDITS if edit.startswith(f"{name}/original/")))
    model, made = editor(run)
    if wrong == "statistics":  # deviations over n, not n - 1, of five vectors
        for transform in made.network.transforms.values():
            for observed in (transform.of_inputs, transform.of_deltas):
                observed.squares.mul_(4 / 5)
    else:
        made.network.rates.mul_(0.99)
    assert far(worst(run, made.edit(model, requests(run))), AGREEMENT)


def test_where_no_beginning_of_sequence_is_written_easyedit_does_what_the_original_does() -> None:
    checks = GOLDEN.content["cross_checks"]
    assert [check["run"].split("/")[0] for check in checks] == ["tiny-gpt2", "tiny-gpt2"]
    assert max(check["relative_difference"] for check in checks) < AGREEMENT


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_sums_where_published_code_divides_by_all_tokens(name: str) -> None:
    run = GOLDEN.run(f"{name}/original/together")
    model, made = editor(run)
    together, each = made.edit(model, requests(run)), made.edit_each(model, requests(run))
    assert far(worst(run, together), AGREEMENT)
    for module, change in together.changes.items():
        assert near(relative_error(change.dense(), sum(patch.changes[module].dense() for patch in each)), AGREEMENT)


@pytest.mark.parametrize("name", MODELS)
def test_an_update_of_training_agrees_with_published_code(name: str) -> None:
    """The losses of three cases, the statistics that they leave, and the gradient of the hyper-network."""
    run, model = GOLDEN.run(f"{name}/training"), GOLDEN.model(name)
    network, params = published_network(name, model, statistics=False), settings(model)
    trials = [trial(model, case) for case in GOLDEN.content["training_cases"]]
    losses = losses_after(model, network, trials, params, observe=True)
    for found, part in ((losses.edit, "edit"), (losses.locality, "locality")):
        assert found.tolist() == pytest.approx([loss[part] for loss in run["losses"]], rel=1e-4)
    (losses.weighted(params).sum() / len(trials)).backward()
    own = {stored_name(parameter): value.grad for parameter, value in network.named_parameters()}
    norms = {parameter: float(gradient.norm()) for parameter, gradient in own.items()}
    assert norms == pytest.approx(run["gradient_norms"], rel=AGREEMENT)
    if name == "tiny-llama":
        worst_gradient = max(relative_error(g, GOLDEN.tensor(name, f"training.gradient.{p}")) for p, g in own.items())
        assert near(worst_gradient, AGREEMENT)
    for shape, transform in network.transforms.items():
        assert_left_behind(name, shape, transform)


def test_published_training_does_not_use_the_learning_rate_of_the_edit_rates() -> None:
    """Its first optimiser steps over the rates too and clears their gradient, so that the second never has one."""
    for name in MODELS:
        run = GOLDEN.run(f"{name}/training")
        moved = (GOLDEN.tensor(name, "training.rates-after") - GOLDEN.tensor(name, "network.rates")).abs()
        assert moved.max() == pytest.approx(run["learning_rate"], rel=1e-3)
        assert moved.max() < run["learning_rate_of_rates_given"] / 10


def assert_left_behind(name: str, shape: str, transform: GradientTransform) -> None:
    for letter, observed in (("u", transform.of_inputs), ("v", transform.of_deltas)):
        mean, deviation = (GOLDEN.tensor(name, f"training.statistics.{shape}.{letter}_{w}") for w in ("mean", "std"))
        assert near(relative_error(observed.mean, mean), AGREEMENT)
        assert near(relative_error((observed.squares / (observed.count - 1)).sqrt(), deviation), AGREEMENT)


def trial(model: LoadedModel, case: dict[str, str]) -> Trial:
    edit = EditRequest(**GOLDEN.content["requests"][case["request"]])
    rephrased = EditRequest(prompt=case["rephrasing"], target=case["target"])
    locality = EditRequest(prompt=case["locality"], target=case["answer"])
    return Trial(*(training_pair(model, request) for request in (edit, rephrased, locality)))


def stored_name(parameter: str) -> str:
    return parameter.removeprefix("transforms.").replace(".layers.", ".")
