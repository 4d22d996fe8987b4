"""LocFT-BF against what published code makes of the same requests in the same order.

Where the values come from is said in golden/README.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from wildcore_locft import breadth_first
from wildcore_locft.breadth_first import train_breadth_first
from wildcore_locft.editor import LocFT
from wildcore_locft.parameters import LocFTParams

from wildcore import EditRequest
from wildcore.patches import WeightPatch
from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 3e-4
MODULES = {"together/mlp": "mlp", "together/layer": "layer"}
DIFFERENT = ("together/layer", "padded-positions")
COMPARABLE = [identifier for identifier in GOLDEN.runs("") if not identifier.endswith(DIFFERENT)]


def editor(run: dict[str, Any], **changes: Any) -> LocFT:
    module = MODULES.get(run["id"].partition("/")[2], "mlp-output")
    settings = {name: run[name] for name in ("layer", "batch_size", "weight_decay")}
    settings |= {"module": module, "epochs": run["num_steps"], "learning_rate": run["lr"]}
    return LocFT(LocFTParams(**settings | changes))


def requests(run: dict[str, Any]) -> list[EditRequest]:
    return [EditRequest(**GOLDEN.content["requests"][name]) for name in run["requests"]]


def published(run: dict[str, Any]) -> dict[str, Tensor]:
    """Return the published changes by module, [outputs, inputs]; a weight of one axis is that of a norm."""
    model = GOLDEN.model(run["model"])
    changes = {}
    for parameter, name in run["tensors"].items():
        change, module = GOLDEN.tensor(run["model"], name), parameter.removesuffix(".weight")
        changes[module] = change.T if change.dim() == 2 and model.projection(module).transposed else change
    return changes


def errors(patch: WeightPatch, expected: dict[str, Tensor]) -> dict[str, float]:
    return {name: relative_error(change.dense(), expected[name]) for name, change in patch.changes.items()}


def follow(run: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training take the run's requests in the order in which the published code took them."""

    def orders(count: int, epochs: int, seed: int) -> Iterator[list[int]]:
        yield from run["orders"]
        assert len(run["orders"]) == epochs, "training goes on where the published run ended"

    monkeypatch.setattr(breadth_first, "shuffled", orders)


@pytest.mark.parametrize("identifier", COMPARABLE)
def test_the_update_agrees_with_published_code(identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GOLDEN.run(identifier)
    follow(run, monkeypatch)
    patch = editor(run).edit(GOLDEN.model(run["model"]), requests(run))
    found = errors(patch, published(run))
    assert found.keys() == published(run).keys()
    assert near(max(found.values()), AGREEMENT)


@pytest.mark.parametrize("identifier", COMPARABLE)
def test_the_plain_loop_agrees_with_published_code(identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the editor takes the shorter way, as all requests are in one batch."""
    run = GOLDEN.run(identifier)
    follow(run, monkeypatch)
    made = editor(run)
    model, expected = GOLDEN.model(run["model"]), published(run)
    asked = [made._asked(model, request) for request in requests(run)]
    found = train_breadth_first(model, list(expected), asked, made.params, seed=0)
    assert near(max(relative_error(found[name], expected[name]) for name in expected), AGREEMENT)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_agree_with_published_code(model: str) -> None:
    runs = [GOLDEN.run(identifier) for identifier in GOLDEN.runs(f"{model}/alone/")]
    assert len(runs) == 2
    patches = editor(runs[0]).edit_each(GOLDEN.model(model), [request for run in runs for request in requests(run)])
    for run, patch in zip(runs, patches, strict=True):
        assert isinstance(patch, WeightPatch)
        assert near(max(errors(patch, published(run)).values()), AGREEMENT)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "epochs"])
def test_a_wrong_method_is_told_from_rounding(name: str, model: str) -> None:
    run = GOLDEN.run(GOLDEN.runs(f"{model}/alone/")[0])
    wrong = {"learning_rate": 0.99 * run["lr"], "weight_decay": 0.1, "epochs": len(run["orders"]) - 1}
    patch = editor(run, **{name: wrong[name]}).edit(GOLDEN.model(model), requests(run))
    assert far(min(errors(patch, published(run)).values()), AGREEMENT)


def test_some_runs_end_early_and_some_leave_out_steps() -> None:
    ended = [run for run in GOLDEN.content["runs"] if len(run["orders"]) < run["num_steps"]]
    assert {run["model"] for run in ended} == {"tiny-llama", "tiny-gpt2"}
    assert {run["model"] for run in GOLDEN.content["runs"] if run["steps_skipped"] > 1} == {"tiny-llama", "tiny-gpt2"}


def test_of_a_whole_layer_the_published_code_trains_the_norms_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run = GOLDEN.run("tiny-llama/together/layer")
    follow(run, monkeypatch)
    patch, expected = editor(run).edit(GOLDEN.model("tiny-llama"), requests(run)), published(run)
    norms = {f"model.layers.2.{name}_layernorm" for name in ("input", "post_attention")}
    assert expected.keys() - patch.changes.keys() == norms
    found = errors(patch, expected)
    assert 1e-4 < max(found.values()) < 2e-3  # the maps are trained under norms that differ a little


def test_positions_that_padding_moves_are_not_what_the_method_means(monkeypatch: pytest.MonkeyPatch) -> None:
    run = GOLDEN.run("tiny-gpt2/together/mini-batches-padded-positions")
    follow(run, monkeypatch)
    patch = editor(run).edit(GOLDEN.model("tiny-gpt2"), requests(run))
    assert far(min(errors(patch, published(run)).values()), AGREEMENT)
