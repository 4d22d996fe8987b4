"""PMET against what published code makes of the same requests, prefixes and second moments.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_keyvalue.solver import MomentSolver
from wildcore_keyvalue.testing import VALUE_NAMES, moments_of
from wildcore_keyvalue.values import optimise_values, required
from wildcore_pmet.editor import Pmet
from wildcore_pmet.parameters import PmetParams

from wildcore import EditRequest
from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = {"tiny-gpt2": 1e-9, "tiny-llama": 2e-5}
"""Values of tiny-gpt2 are in float64."""
NAMES = VALUE_NAMES | {"mom2_update_weight": "moment_weight"}


def editor(run: dict[str, Any], **changes: Any) -> Pmet:
    """Return the run's editor as the published code has it."""
    settings = {"layers": run["layers"], "essence_position": "subject-end", "key_mean": "groups"}
    settings |= GOLDEN.settings("pmet", run, NAMES)
    made = Pmet(PmetParams(**settings | changes))
    made.prefixes = GOLDEN.prefixes
    model = GOLDEN.model(run["model"])
    for layer in run["layers"]:
        made.solvers[layer] = MomentSolver(moments_of(model, layer), 0.0)
    return made


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_update_agrees_with_published_code(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    patch = editor(run).edit(GOLDEN.model(run["model"]), GOLDEN.requests(run["requests"]))
    assert near(max(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT[run["model"]])


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_values_agree_and_are_found_in_as_many_steps(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = GOLDEN.model(run["model"]), editor(run)
    problems = required(made.posed(model, GOLDEN.requests(run["requests"])))
    found = optimise_values(model, made.layers[-1], problems, made.params, made.place, made.once_said)
    expected = GOLDEN.tensor(run["model"], run["tensors"]["mlp"])
    assert near(relative_error(torch.stack([value.value for value in found], dim=1), expected), AGREEMENT[run["model"]])
    assert [len(value.losses) for value in found] == run["forward_passes"]
    assert [value.losses[-1] for value in found] == pytest.approx(run["final_loss"], abs=2e-3)


def test_problems_side_by_side_each_count_and_end_by_their_own_target() -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs("tiny-gpt2") if "/plain/" in i]
    assert [run["forward_passes"] for run in runs] == [[6], [20], [20]]
    model, made = GOLDEN.model("tiny-gpt2"), editor(runs[0])
    problems = required(made.posed(model, [request for run in runs for request in GOLDEN.requests(run["requests"])]))
    found = optimise_values(model, made.layers[-1], problems, made.params, made.place, made.once_said)
    for run, value in zip(runs, found, strict=True):
        assert [len(value.losses)] == run["forward_passes"]
        expected = GOLDEN.tensor("tiny-gpt2", run["tensors"]["mlp"])
        assert near(relative_error(value.value[:, None], expected), AGREEMENT["tiny-gpt2"])


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_agree_with_published_code(model: str) -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs(model) if "/plain/" in i]
    assert len(runs) == 3
    patches = editor(runs[0]).edit_each(
        GOLDEN.model(model), [r for run in runs for r in GOLDEN.requests(run["requests"])]
    )
    for run, patch in zip(runs, patches, strict=True):
        assert near(max(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT[run["model"]])


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_are_made_under_the_earlier_layers_of_their_own(model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/light-moments/" in i)
    run = GOLDEN.run(identifier)
    other = EditRequest(prompt="The colour of Tarsin is", subject="Tarsin", target="red")
    patch = editor(run).edit_each(GOLDEN.model(model), [other, *GOLDEN.requests(run["requests"])])[1]
    assert near(max(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT[run["model"]])


@pytest.mark.parametrize("changes", [{"essence_position": "prompt-end"}, {"key_mean": "prompts"}], ids=str)
def test_where_the_published_way_is_one_of_two_the_papers_is_the_default(changes: dict[str, Any]) -> None:
    assert {name: getattr(PmetParams(), name) for name in changes} == changes


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize(
    "changes",
    [
        {"essence_position": "prompt-end"},
        {"key_mean": "prompts"},
        {"steps": 5},
        {"kl_factor": 0},
        {"moment_weight": 0.02},
    ],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/light-moments/" in i)
    run = GOLDEN.run(identifier)
    patch = editor(run, **changes).edit(GOLDEN.model(model), GOLDEN.requests(run["requests"]))
    assert far(min(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT[model])


@pytest.mark.parametrize("changes", [{"target_factor_once_said": 1.0}, {"divergence_threshold": 0.0}], ids=str)
def test_what_is_different_once_the_target_is_said_shows_in_the_update(changes: dict[str, Any]) -> None:
    run = GOLDEN.run("tiny-gpt2/easyedit/pmet/told/tiny-one-token")
    patch = editor(run, **changes).edit(GOLDEN.model("tiny-gpt2"), GOLDEN.requests(run["requests"]))
    assert far(min(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT["tiny-gpt2"])
