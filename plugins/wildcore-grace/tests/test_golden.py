"""GRACE against what published code makes of the same requests from the same initial values.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from wildcore_grace import editor as editor_module
from wildcore_grace.codebook import Codebook
from wildcore_grace.editor import Grace
from wildcore_grace.parameters import GraceParams

from wildcore import EditRequest
from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
MODELS = ("tiny-llama", "tiny-gpt2")
FAULTLESS = [i for i in GOLDEN.runs("") if "/fault-" not in i and "/published-" not in i]


def codebook(run: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Codebook:
    """Make the run's edits one after another, from the initial values that published code had."""

    def start(seed: int, index: int, like: Tensor) -> Tensor:
        return GOLDEN.tensor(run["model"], f"start.{index}")

    monkeypatch.setattr(editor_module, "initial_value", start)
    settings = {"steps": run["n_iter"], "learning_rate": run["edit_lr"], "initial_radius": run["eps"]}
    made, model = Grace(GraceParams(**{"layer": run["layer"], **settings, **changes})), GOLDEN.model(run["model"])
    for name in run["requests"]:
        patch = made.edit(model, [EditRequest(**GOLDEN.content["requests"][name])])
    return patch.codebook


def published(run: dict[str, Any], name: str) -> Tensor:
    return GOLDEN.tensor(run["model"], run["tensors"][name])


@pytest.mark.parametrize("identifier", FAULTLESS)
def test_keys_values_and_radii_agree_with_published_code(identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GOLDEN.run(identifier)
    found = codebook(run, monkeypatch)
    assert near(relative_error(found.keys, published(run, "keys")), AGREEMENT)
    assert near(relative_error(found.values, published(run, "values")), AGREEMENT)
    torch.testing.assert_close(found.radii, published(run, "epsilons"), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["steps", "learning_rate", "close_target"])
def test_a_wrong_method_is_told_from_rounding(model: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GOLDEN.run(f"{model}/easyedit/grace/single-long-target")
    wrong = {"steps": run["n_iter"] - 1, "learning_rate": 0.99 * run["edit_lr"], "close_target": "end-of-sequence"}
    found = codebook(run, monkeypatch, **{name: wrong[name]})
    assert far(relative_error(found.values, published(run, "values")), AGREEMENT)


@pytest.mark.parametrize("model", MODELS)
def test_difference_a_prompt_edited_again_gets_the_new_value(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published code splits the distance 0: neither radius holds the prompt then, and the new value is never trained."""
    run = GOLDEN.run(f"{model}/easyedit/grace/fault-same-prompt")
    assert max(published(run, "epsilons").tolist()) == 0.0
    assert torch.equal(published(run, "values")[1], GOLDEN.tensor(model, "start.1"))
    found = codebook(run, monkeypatch)
    assert (found.labels, found.radii.tolist()) == (("Paris",), [run["eps"]])
    assert relative_error(found.values[0], GOLDEN.tensor(model, "start.1")) > 0.1


@pytest.mark.parametrize("model", MODELS)
def test_difference_labels_are_compared_as_labels(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published code compares means over whole label rows, so the same target behind a longer prompt is another label to it."""
    run = GOLDEN.run(f"{model}/easyedit/grace/fault-label-by-length")
    assert len(published(run, "keys")) == 2
    found = codebook(run, monkeypatch)
    distance = float((published(run, "keys")[0] - published(run, "keys")[1]).norm())
    assert (found.labels, found.radii.tolist()) == (("Rome",), [pytest.approx(distance, rel=1e-4)])


@pytest.mark.parametrize("model", MODELS)
def test_difference_a_label_is_that_of_its_own_key(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """EasyEdit's labels grow at the front and its keys at the back; an edit made twice conflicts with itself there."""
    run = GOLDEN.run(f"{model}/easyedit/grace/fault-labels-misaligned")
    assert len(published(run, "keys")) == 3
    found = codebook(run, monkeypatch)
    assert (found.labels, found.radii.tolist()) == (("Rome", "Anna Smith"), [run["eps"]] * 2)
