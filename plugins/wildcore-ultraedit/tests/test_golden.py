"""UltraEdit against what published code makes of the same requests.

Where the values come from is said in golden/README.md.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from wildcore_ultraedit.editor import UltraEdit
from wildcore_ultraedit.parameters import UltraEditParams

from wildcore import EditRequest, Saved
from wildcore.patches import WeightPatch
from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
TOKENS = {"ans": "target", "mask": "all"}
FINITE = [run["id"] for run in GOLDEN.content["runs"] if run["finite"]]
BEFORE = {f"{model}/sequential/two-turns/2": f"{model}/sequential/two-turns/1" for model in ("tiny-llama", "tiny-gpt2")}


def editor(run: dict[str, Any], **changes: Any) -> UltraEdit:
    """Return the run's editor as the published code has it."""
    settings = {"modules": run["modules"], "learning_rate": run["lr"], "batch_size": run["batch_size"]}
    settings |= {"tokens": TOKENS[run["token"]], "batch_variance": "sample"}
    return UltraEdit(UltraEditParams(**settings | changes))


def requests(run: dict[str, Any]) -> list[EditRequest]:
    return [EditRequest(**GOLDEN.content["requests"][name]) for name in run["requests"]]


def errors(run: dict[str, Any], patch: object) -> list[float]:
    """Return each linear map's relative error."""
    assert isinstance(patch, WeightPatch)
    assert list(patch.changes) == run["modules"]
    expected = [GOLDEN.tensor(run["model"], run["tensors"][name]) for name in run["modules"]]
    return [relative_error(c.dense(), wanted) for c, wanted in zip(patch.changes.values(), expected, strict=True)]


@pytest.mark.parametrize("identifier", FINITE)
def test_the_update_agrees_with_published_code(identifier: str) -> None:
    run, earlier = GOLDEN.run(identifier), BEFORE.get(identifier)
    model, made = GOLDEN.model(run["model"]), editor(run)
    with ExitStack() as applied:
        if earlier is not None:
            applied.enter_context(made.edit(model, requests(GOLDEN.run(earlier))).applied(model))
        patch = made.edit(model, requests(run))
    assert near(max(errors(run, patch)), AGREEMENT)
    assert made.state.facts["counts"] == {
        shape.strip("()").replace(", ", "x"): count for shape, count in run["token_counts"].items()
    }


@pytest.mark.parametrize("identifier", BEFORE)
def test_what_earlier_edits_leave_is_the_statistics_and_the_models_change(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model, first = GOLDEN.model(run["model"]), editor(run)
    with first.edit(model, requests(GOLDEN.run(BEFORE[identifier]))).applied(model):
        second, fresh = editor(run), editor(run)
        second.restore(Saved(first.state.tensors, first.state.facts))
        patches = second.edit(model, requests(run)), fresh.edit(model, requests(run))
    assert near(max(errors(run, patches[0])), AGREEMENT)
    assert far(min(errors(run, patches[1])), AGREEMENT)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_an_independent_update_agrees_with_published_code_in_any_company(model: str) -> None:
    run = GOLDEN.run(f"{model}/alone/several-tokens")
    others = [EditRequest(**GOLDEN.content["requests"][name]) for name in ("tiny-subject-first", "tiny-subject-twice")]
    patches = editor(run).edit_each(GOLDEN.model(model), [others[0], *requests(run), others[1]])
    assert near(max(errors(run, patches[1])), AGREEMENT)


@pytest.mark.parametrize("identifier", ["tiny-llama/together/mini-batches", "tiny-gpt2/together/mini-batches"])
def test_by_default_the_deviation_is_that_of_all_tokens_so_far(identifier: str) -> None:
    assert UltraEditParams().batch_variance == "population"
    run = GOLDEN.run(identifier)
    patch = editor(run, batch_variance="population").edit(GOLDEN.model(run["model"]), requests(run))
    assert far(min(errors(run, patch)), AGREEMENT)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize("name", ["tokens", "learning_rate"])
def test_a_wrong_method_is_told_from_rounding(name: str, model: str) -> None:
    run = GOLDEN.run(f"{model}/alone/several-tokens")
    other = {"target": "all", "all": "target"}
    wrong = {"tokens": other[TOKENS[run["token"]]], "learning_rate": 0.99 * run["lr"]}
    patch = editor(run, **{name: wrong[name]}).edit(GOLDEN.model(model), requests(run))
    assert far(min(errors(run, patch)), AGREEMENT)


def test_one_token_makes_the_published_update_no_number_and_ours_one() -> None:
    run = GOLDEN.run("tiny-llama/alone/one-token")
    assert run["token_counts"] == {"(48, 96)": 2, "(96, 48)": 1}
    assert not run["finite"]
    modules = run["modules"][:2]
    patch = editor(run, modules=modules).edit(GOLDEN.model("tiny-llama"), requests(run))
    assert patch.describe()["finite"]
