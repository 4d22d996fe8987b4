"""FT-M and FT-L against what published code makes of the same requests.

Where the values come from is said in golden/README.md: the evaluation code of Yang et al. 2025, which descends from
EasyEdit, run in float32. Of the large model a two-sided sketch and some rows of each change are kept.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_ft import wildcore_editors

from wildcore.testing.golden import Golden, far, near, relative_error, sketch
from wildcore.testing.real_data import real_data

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden", {"llama-14m": real_data(__file__, "lab/llama-14m")})
AGREEMENT = 2e-4
OF_LARGE = 1.5e-3
"""Of changes of llama-14m: Adam makes a whole step of a gradient that is nearly nothing, and it has many of those."""
EDITORS = {offer.name: offer for offer in wildcore_editors()}


def comparable() -> list[str]:
    ids = [i for model in ("tiny-llama", "tiny-gpt2", "llama-14m") for i in GOLDEN.runs(f"{model}/fork/ft/")]
    return [identifier for identifier in ids if not identifier.endswith("tiny-leading-space")]


def edit(run: dict[str, Any], **changes: Any) -> torch.Tensor:
    """Make the run's edit as the published code has it, and return the weight change [outputs, inputs]."""
    if GOLDEN.model_folder(run["model"]) is None:
        pytest.skip(f"{run['model']} is not here")
    last = run["objective"] == "prompt_last"
    settings = {"layer": run["layer"], "norm_constraint": run["norm_constraint"] or None}
    settings |= {{"num_steps": "steps", "lr": "learning_rate"}[name]: value for name, value in run["overrides"].items()}
    if last and not run["bare_target"]:
        settings["train_beginning_of_sequence"] = True
    offer = EDITORS["ft-l" if last else "ft-m"]
    model = GOLDEN.model(run["model"])
    patch = offer.make(offer.params(**settings | changes)).edit(model, [GOLDEN.request(run)])
    return next(iter(patch.changes.values())).dense()


@pytest.mark.parametrize("identifier", comparable())
def test_the_update_agrees_with_published_code(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    change = edit(run)
    names = run["tensors"]
    if "weight_change" in names:
        expected = GOLDEN.tensor(run["model"], names["weight_change"])
        assert near(relative_error(change, expected if expected.shape == change.shape else expected.T), AGREEMENT)
        return
    assert near(relative_error(sketch(change), GOLDEN.tensor(run["model"], names["weight_change_sketch"])), OF_LARGE)
    assert float(change.norm()) == pytest.approx(run["frobenius_norm"], rel=OF_LARGE)
    rows = GOLDEN.tensor(run["model"], names["weight_change_rows"])
    assert near(relative_error(change[:: len(change) // len(rows)], rows), OF_LARGE)


def test_a_target_that_begins_with_a_space_is_the_target_without_it() -> None:
    spaced, bare = (GOLDEN.run(f"tiny-llama/fork/ft/ft-m/tiny-{n}leading-space") for n in ("", "no-"))
    expected = GOLDEN.tensor("tiny-llama", bare["tensors"]["weight_change"])
    assert near(relative_error(edit(spaced), expected), AGREEMENT)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2", "llama-14m"])
@pytest.mark.parametrize("wrong", ["steps", "weight_decay", "learning_rate"])
@pytest.mark.parametrize("name", ["ft-m", "ft-l"])
def test_a_wrong_method_is_told_from_rounding(name: str, wrong: str, model: str) -> None:
    request = "lab-several-tokens" if model == "llama-14m" else "tiny-several-tokens"
    run = GOLDEN.run(f"{model}/fork/ft/{name}/{request}")
    values = {"steps": run["optimizer_steps"] - 1, "weight_decay": 0.1, "learning_rate": 4.8e-4}
    change, names = edit(run, **{wrong: values[wrong]}), run["tensors"]
    if model == "llama-14m":
        assert far(relative_error(sketch(change), GOLDEN.tensor(model, names["weight_change_sketch"])), OF_LARGE)
        return
    expected = GOLDEN.tensor(model, names["weight_change"])
    assert far(relative_error(change, expected if expected.shape == change.shape else expected.T), AGREEMENT)


def test_the_beginning_of_sequence_is_no_target_unless_asked_for() -> None:
    offer = EDITORS["ft-l"]
    assert offer.params().train_beginning_of_sequence is False
