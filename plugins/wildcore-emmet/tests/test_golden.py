"""EMMET against what published code makes of the same requests, prefixes and second moments.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_emmet.editor import Emmet
from wildcore_emmet.parameters import EmmetParams
from wildcore_keyvalue.solver import MomentSolver
from wildcore_keyvalue.testing import VALUE_NAMES, closed_formula_moments, moments_of
from wildcore_keyvalue.values import required

from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
NAMES = VALUE_NAMES | {"mom2_update_weight": "moment_weight", "emmet_lambda": "ridge"}
RELAXED = [i for i in GOLDEN.runs("") if "/easyedit/" in i and "+" not in i]
"""Runs of EasyEdit with one request, to which it gives a ridge too."""


def editor(run: dict[str, Any], **changes: Any) -> Emmet:
    """Return the run's editor as the published code has it."""
    settings = {"layers": run["layers"], "essence_position": "subject-end", "key_mean": "groups"}
    settings |= GOLDEN.settings("emmet", run, NAMES)
    made = Emmet(EmmetParams(**settings | changes))
    made.prefixes = GOLDEN.prefixes
    model = GOLDEN.model(run["model"])
    for layer in run["layers"]:
        made.solvers[layer] = MomentSolver(moments_of(model, layer), 0.0)
    return made


@pytest.mark.parametrize("identifier", [i for i in GOLDEN.runs("") if i not in RELAXED])
def test_the_update_agrees_with_published_code(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    patch = editor(run).edit(GOLDEN.model(run["model"]), GOLDEN.requests(run["steps"][0]))
    assert near(max(GOLDEN.layer_errors(run, run["tensors"][0], patch)), AGREEMENT)


def test_independent_updates_agree_with_published_code() -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs("tiny-gpt2") if "/plain/" in i]
    assert len(runs) == 3
    asked = [request for run in runs for request in GOLDEN.requests(run["steps"][0])]
    for run, patch in zip(runs, editor(runs[0]).edit_each(GOLDEN.model("tiny-gpt2"), asked), strict=True):
        assert near(max(GOLDEN.layer_errors(run, run["tensors"][0], patch)), AGREEMENT)


@pytest.mark.parametrize("identifier", RELAXED)
def test_a_single_request_is_written_exactly_and_easyedit_gives_it_a_ridge_too(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = GOLDEN.model(run["model"]), editor(run)
    (layer,) = run["layers"]
    key = made.keys_and_states(model, layer, required(made.posed(model, GOLDEN.requests(run["steps"][0]))))[0][
        0
    ].double()
    published = GOLDEN.hyper_parameters("emmet", run)
    moments = published["mom2_update_weight"] * closed_formula_moments(len(key)).double()
    certainty = float(key @ torch.linalg.solve(moments, key))
    factor = certainty / (certainty + published["emmet_lambda"])
    (change,) = made.edit(model, GOLDEN.requests(run["steps"][0])).changes.values()
    published_change = GOLDEN.published(run, run["tensors"][0], layer)
    assert near(relative_error(factor * change.dense(), published_change), AGREEMENT)
    assert far(relative_error(change.dense(), published_change), AGREEMENT)


@pytest.mark.parametrize("changes", [{"essence_position": "prompt-end"}, {"key_mean": "prompts"}], ids=str)
def test_where_the_published_way_is_one_of_two_the_papers_is_the_default(changes: dict[str, Any]) -> None:
    assert {name: getattr(EmmetParams(), name) for name in changes} == changes


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize(
    "changes",
    [{"essence_position": "prompt-end"}, {"key_mean": "prompts"}, {"steps": 24}, {"kl_factor": 0}, {"ridge": 0.2}],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/together/" in i)
    run = GOLDEN.run(identifier)
    patch = editor(run, **changes).edit(GOLDEN.model(model), GOLDEN.requests(run["steps"][0]))
    assert far(min(GOLDEN.layer_errors(run, run["tensors"][0], patch)), AGREEMENT)
