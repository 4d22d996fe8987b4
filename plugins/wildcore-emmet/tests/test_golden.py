"""EMMET against what published code makes of the same requests, prefixes and second moments.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_emmet.editor import Emmet
from wildcore_emmet.parameters import EmmetParams
from wildcore_keyvalue.testing import (
    LEAST_SQUARES_NAMES,
    PAPERS_WAY,
    PublishedRuns,
    closed_formula_moments,
    with_moments,
)
from wildcore_keyvalue.values import required

from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
NAMES = LEAST_SQUARES_NAMES | {"emmet_lambda": "ridge"}
TOLERANCE = {"tiny-llama": AGREEMENT, "tiny-gpt2": AGREEMENT}
PUBLISHED = PublishedRuns(GOLDEN, "emmet", Emmet, EmmetParams, NAMES, with_moments, TOLERANCE)
RELAXED = [i for i in GOLDEN.runs("") if "/easyedit/" in i and "+" not in i]
"""Runs of EasyEdit with one request, to which it gives a ridge too."""


@pytest.mark.parametrize("identifier", [i for i in GOLDEN.runs("") if i not in RELAXED])
def test_the_update_agrees_with_published_code(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    PUBLISHED.check_agrees(run, PUBLISHED.edited(run))


def test_independent_updates_agree_with_published_code() -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs("tiny-gpt2") if "/plain/" in i]
    assert len(runs) == 3
    for run, patch in zip(runs, PUBLISHED.edited_side_by_side(runs), strict=True):
        PUBLISHED.check_agrees(run, patch)


@pytest.mark.parametrize("identifier", RELAXED)
def test_a_single_request_is_written_exactly_and_easyedit_gives_it_a_ridge_too(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = PUBLISHED.model(run), PUBLISHED.editor(run)
    (layer,) = run["layers"]
    problems = required(made.posed(model, PUBLISHED.requests(run)))
    key = made.keys_and_states(model, layer, problems)[0][0].double()
    published = GOLDEN.hyper_parameters("emmet", run)
    moments = published["mom2_update_weight"] * closed_formula_moments(len(key)).double()
    certainty = float(key @ torch.linalg.solve(moments, key))
    factor = certainty / (certainty + published["emmet_lambda"])
    (change,) = made.edit(model, PUBLISHED.requests(run)).changes.values()
    published_change = GOLDEN.published(run, run["tensors"][0], layer)
    assert near(relative_error(factor * change.dense(), published_change), AGREEMENT)
    assert far(relative_error(change.dense(), published_change), AGREEMENT)


def test_where_the_published_way_is_one_of_two_the_papers_is_the_default() -> None:
    PUBLISHED.check_papers_way_is_the_default()


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize(
    "changes",
    [*({name: value} for name, value in PAPERS_WAY.items()), {"steps": 24}, {"kl_factor": 0}, {"ridge": 0.2}],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/together/" in i)
    run = GOLDEN.run(identifier)
    PUBLISHED.check_differs(run, PUBLISHED.edited(run, **changes))
