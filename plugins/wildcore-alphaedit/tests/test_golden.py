"""AlphaEdit against what published code makes of the same requests, prefixes and second moments.

Where the values come from is said in golden/README.md.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from wildcore_alphaedit.editor import AlphaEdit
from wildcore_alphaedit.null_space import NullSpace, spectrum
from wildcore_alphaedit.parameters import AlphaEditParams
from wildcore_keyvalue.testing import PAPERS_WAY, VALUE_NAMES, PublishedRuns, Run, moments_of

from wildcore.models import LoadedModel
from wildcore.testing.golden import Golden

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-3
NAMES = VALUE_NAMES | {"nullspace_threshold": "nullspace_threshold", "L2": "update_penalty"}


def with_null_spaces(editor: AlphaEdit, run: Run, model: LoadedModel) -> None:
    """Give the editor the null spaces of the second moments by the formula, as large as published code found them."""
    for layer, kept in zip(run["layers"], run["directions_kept"], strict=True):
        of = spectrum(moments_of(model, layer))
        assert of.below(editor.params.nullspace_threshold) == kept
        editor.null_spaces[layer] = NullSpace(of, kept)


TOLERANCE = {"tiny-llama": AGREEMENT, "tiny-gpt2": AGREEMENT}
PUBLISHED = PublishedRuns(GOLDEN, "alphaedit", AlphaEdit, AlphaEditParams, NAMES, with_null_spaces, TOLERANCE)


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_updates_agree_with_published_code_one_after_the_other(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = PUBLISHED.model(run), PUBLISHED.editor(run)
    with ExitStack() as earlier:
        for step in range(len(run["steps"])):
            patch = made.edit(model, PUBLISHED.requests(run, step))
            PUBLISHED.check_agrees(run, patch, step)
            earlier.enter_context(patch.applied(model))


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_agree_with_published_code_whatever_was_edited_before(model: str) -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs(model) if "/plain/" in i]
    assert len(runs) == 3
    asked = [request for run in runs for request in PUBLISHED.requests(run)]
    made = PUBLISHED.editor(runs[0])
    made.edit(GOLDEN.model(model), asked[:1])
    for run, patch in zip(runs, made.edit_each(GOLDEN.model(model), asked), strict=True):
        PUBLISHED.check_agrees(run, patch)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_without_the_keys_of_earlier_edits_a_later_one_is_another(model: str) -> None:
    (run,) = (GOLDEN.run(i) for i in GOLDEN.runs(model) if "/sequential/" in i)
    loaded, made = PUBLISHED.model(run), PUBLISHED.editor(run)
    with made.edit(loaded, PUBLISHED.requests(run)).applied(loaded):
        made.reset()
        patch = made.edit(loaded, PUBLISHED.requests(run, 1))
    PUBLISHED.check_differs(run, patch, 1)


def test_where_the_published_way_is_one_of_two_the_papers_is_the_default() -> None:
    PUBLISHED.check_papers_way_is_the_default()


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize(
    "changes",
    [*({name: value} for name, value in PAPERS_WAY.items()), {"steps": 24}, {"kl_factor": 0}, {"update_penalty": 9}],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if i.endswith("/plain/tiny-one-token"))
    run = GOLDEN.run(identifier)
    PUBLISHED.check_differs(run, PUBLISHED.edited(run, **changes))
