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
from wildcore_keyvalue.testing import VALUE_NAMES, moments_of

from wildcore.testing.golden import Golden, far, near

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-3
NAMES = VALUE_NAMES | {"nullspace_threshold": "nullspace_threshold", "L2": "update_penalty"}


def editor(run: dict[str, Any], **changes: Any) -> AlphaEdit:
    """Return the run's editor as the published code has it."""
    settings = {"layers": run["layers"], "essence_position": "subject-end", "key_mean": "groups"}
    settings |= GOLDEN.settings("alphaedit", run, NAMES)
    made = AlphaEdit(AlphaEditParams(**settings | changes))
    made.prefixes = GOLDEN.prefixes
    model = GOLDEN.model(run["model"])
    for layer, kept in zip(run["layers"], run["directions_kept"], strict=True):
        of = spectrum(moments_of(model, layer))
        assert of.below(settings["nullspace_threshold"]) == kept
        made.null_spaces[layer] = NullSpace(of, kept)
    return made


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_updates_agree_with_published_code_one_after_the_other(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, made = GOLDEN.model(run["model"]), editor(run)
    with ExitStack() as earlier:
        for step, names in enumerate(run["steps"]):
            patch = made.edit(model, GOLDEN.requests(names))
            assert near(max(GOLDEN.layer_errors(run, run["tensors"][step], patch)), AGREEMENT)
            earlier.enter_context(patch.applied(model))


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_agree_with_published_code_whatever_was_edited_before(model: str) -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs(model) if "/plain/" in i]
    assert len(runs) == 3
    asked = [request for run in runs for request in GOLDEN.requests(run["steps"][0])]
    made = editor(runs[0])
    made.edit(GOLDEN.model(model), asked[:1])
    for run, patch in zip(runs, made.edit_each(GOLDEN.model(model), asked), strict=True):
        assert near(max(GOLDEN.layer_errors(run, run["tensors"][0], patch)), AGREEMENT)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_without_the_keys_of_earlier_edits_a_later_one_is_another(model: str) -> None:
    (run,) = (GOLDEN.run(i) for i in GOLDEN.runs(model) if "/sequential/" in i)
    loaded, made = GOLDEN.model(run["model"]), editor(run)
    with made.edit(loaded, GOLDEN.requests(run["steps"][0])).applied(loaded):
        made.reset()
        patch = made.edit(loaded, GOLDEN.requests(run["steps"][1]))
    assert far(min(GOLDEN.layer_errors(run, run["tensors"][1], patch)), AGREEMENT)


@pytest.mark.parametrize("changes", [{"essence_position": "prompt-end"}, {"key_mean": "prompts"}], ids=str)
def test_where_the_published_way_is_one_of_two_the_papers_is_the_default(changes: dict[str, Any]) -> None:
    assert {name: getattr(AlphaEditParams(), name) for name in changes} == changes


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize(
    "changes",
    [
        {"essence_position": "prompt-end"},
        {"key_mean": "prompts"},
        {"steps": 24},
        {"kl_factor": 0},
        {"update_penalty": 9},
    ],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if i.endswith("/plain/tiny-one-token"))
    run = GOLDEN.run(identifier)
    patch = editor(run, **changes).edit(GOLDEN.model(model), GOLDEN.requests(run["steps"][0]))
    assert far(min(GOLDEN.layer_errors(run, run["tensors"][0], patch)), AGREEMENT)
