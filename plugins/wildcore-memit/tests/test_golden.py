"""MEMIT against what published code makes of the same requests, prefixes and second moments.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
from wildcore_keyvalue.testing import LEAST_SQUARES_NAMES, PAPERS_WAY, PublishedRuns, with_moments
from wildcore_memit.editor import Memit
from wildcore_memit.parameters import MemitParams

from wildcore import EditRequest
from wildcore.testing.golden import Golden
from wildcore.testing.real_data import real_data

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden", {"llama-14m": real_data(__file__, "lab/llama-14m")})
AGREEMENT = {"tiny-gpt2": 1e-9, "tiny-llama": 1e-4, "llama-14m": 1e-4}
"""Values of tiny-gpt2 are in float64."""
PUBLISHED = PublishedRuns(GOLDEN, "memit", Memit, MemitParams, LEAST_SQUARES_NAMES, with_moments, AGREEMENT)
ALONE = [i for i in GOLDEN.runs("") if "/together" not in i]


def run_of(identifier: str) -> dict[str, Any]:
    """Return a run, or skip where its model is absent."""
    run = GOLDEN.run(identifier)
    if GOLDEN.model_folder(run["model"]) is None:
        pytest.skip(f"{run['model']} is not here")
    return run


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_update_agrees_with_published_code(identifier: str) -> None:
    run = run_of(identifier)
    PUBLISHED.check_agrees(run, PUBLISHED.edited(run))


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2", "llama-14m"])
def test_independent_updates_agree_with_published_code(model: str) -> None:
    runs = [run_of(i) for i in ALONE if i.startswith(model) and "/plain/" in i]
    assert len(runs) == 3
    for run, patch in zip(runs, PUBLISHED.edited_side_by_side(runs), strict=True):
        PUBLISHED.check_agrees(run, patch)


@pytest.mark.parametrize("identifier", [i for i in ALONE if "/light-moments/" in i])
def test_independent_updates_are_made_under_the_earlier_layers_of_their_own(identifier: str) -> None:
    run = run_of(identifier)
    other = EditRequest(prompt="The colour of Tarsin is", subject="Tarsin", target="red")
    patch = PUBLISHED.editor(run).edit_each(PUBLISHED.model(run), [other, *PUBLISHED.requests(run)])[1]
    PUBLISHED.check_agrees(run, patch)


def test_where_the_published_way_is_one_of_two_the_papers_is_the_default() -> None:
    PUBLISHED.check_papers_way_is_the_default()


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2", "llama-14m"])
@pytest.mark.parametrize(
    "changes",
    [*({name: value} for name, value in PAPERS_WAY.items()), {"steps": 24}, {"kl_factor": 0}, {"moment_weight": 2.0}],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/light-moments/" in i)
    run = run_of(identifier)
    PUBLISHED.check_differs(run, PUBLISHED.edited(run, **changes))
