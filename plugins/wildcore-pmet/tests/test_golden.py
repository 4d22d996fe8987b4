"""PMET against what published code makes of the same requests, prefixes and second moments.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_keyvalue.testing import LEAST_SQUARES_NAMES, PAPERS_WAY, PublishedRuns, with_moments
from wildcore_keyvalue.values import optimise_values, required
from wildcore_pmet.editor import Pmet
from wildcore_pmet.parameters import PmetParams

from wildcore import EditRequest
from wildcore.testing.golden import Golden, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = {"tiny-gpt2": 1e-9, "tiny-llama": 2e-5}
"""Values of tiny-gpt2 are in float64."""
PUBLISHED = PublishedRuns(GOLDEN, "pmet", Pmet, PmetParams, LEAST_SQUARES_NAMES, with_moments, AGREEMENT)


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_update_agrees_with_published_code(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    PUBLISHED.check_agrees(run, PUBLISHED.edited(run))


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_values_agree_and_are_found_in_as_many_steps(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = PUBLISHED.model(run), PUBLISHED.editor(run)
    problems = required(made.posed(model, PUBLISHED.requests(run)))
    found = optimise_values(model, made.layers[-1], problems, made.params, made.place, made.once_said)
    expected = GOLDEN.tensor(run["model"], run["tensors"]["mlp"])
    assert near(relative_error(torch.stack([value.value for value in found], dim=1), expected), AGREEMENT[run["model"]])
    assert [len(value.losses) for value in found] == run["forward_passes"]
    assert [value.losses[-1] for value in found] == pytest.approx(run["final_loss"], abs=2e-3)


def test_problems_side_by_side_each_count_and_end_by_their_own_target() -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs("tiny-gpt2") if "/plain/" in i]
    assert [run["forward_passes"] for run in runs] == [[6], [20], [20]]
    model, made = GOLDEN.model("tiny-gpt2"), PUBLISHED.editor(runs[0])
    problems = required(made.posed(model, [request for run in runs for request in PUBLISHED.requests(run)]))
    found = optimise_values(model, made.layers[-1], problems, made.params, made.place, made.once_said)
    for run, value in zip(runs, found, strict=True):
        assert [len(value.losses)] == run["forward_passes"]
        expected = GOLDEN.tensor("tiny-gpt2", run["tensors"]["mlp"])
        assert near(relative_error(value.value[:, None], expected), AGREEMENT["tiny-gpt2"])


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_agree_with_published_code(model: str) -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs(model) if "/plain/" in i]
    assert len(runs) == 3
    for run, patch in zip(runs, PUBLISHED.edited_side_by_side(runs), strict=True):
        PUBLISHED.check_agrees(run, patch)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_are_made_under_the_earlier_layers_of_their_own(model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/light-moments/" in i)
    run = GOLDEN.run(identifier)
    other = EditRequest(prompt="The colour of Tarsin is", subject="Tarsin", target="red")
    patch = PUBLISHED.editor(run).edit_each(PUBLISHED.model(run), [other, *PUBLISHED.requests(run)])[1]
    PUBLISHED.check_agrees(run, patch)


def test_where_the_published_way_is_one_of_two_the_papers_is_the_default() -> None:
    PUBLISHED.check_papers_way_is_the_default()


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize(
    "changes",
    [*({name: value} for name, value in PAPERS_WAY.items()), {"steps": 5}, {"kl_factor": 0}, {"moment_weight": 0.02}],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/light-moments/" in i)
    run = GOLDEN.run(identifier)
    PUBLISHED.check_differs(run, PUBLISHED.edited(run, **changes))


@pytest.mark.parametrize("changes", [{"target_factor_once_said": 1.0}, {"divergence_threshold": 0.0}], ids=str)
def test_what_is_different_once_the_target_is_said_shows_in_the_update(changes: dict[str, Any]) -> None:
    run = GOLDEN.run("tiny-gpt2/easyedit/pmet/told/tiny-one-token")
    PUBLISHED.check_differs(run, PUBLISHED.edited(run, **changes))
