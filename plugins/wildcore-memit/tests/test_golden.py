"""MEMIT against what published code makes of the same requests, prefixes and second moments.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
from wildcore_keyvalue.solver import MomentSolver
from wildcore_keyvalue.testing import VALUE_NAMES, moments_of
from wildcore_memit.editor import Memit
from wildcore_memit.parameters import MemitParams

from wildcore import EditRequest
from wildcore.testing.golden import Golden, far, near
from wildcore.testing.real_data import real_data

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden", {"llama-14m": real_data(__file__, "lab/llama-14m")})
AGREEMENT = {"tiny-gpt2": 1e-9, "tiny-llama": 1e-4, "llama-14m": 1e-4}
"""Values of tiny-gpt2 are in float64."""
NAMES = VALUE_NAMES | {"mom2_update_weight": "moment_weight"}
ALONE = [i for i in GOLDEN.runs("") if "/together" not in i]


def editor(run: dict[str, Any], **changes: Any) -> Memit:
    """Return the run's editor as the published code has it."""
    if GOLDEN.model_folder(run["model"]) is None:
        pytest.skip(f"{run['model']} is not here")
    settings = {"layers": run["layers"], "essence_position": "subject-end", "key_mean": "groups"}
    settings |= GOLDEN.settings("memit", run, NAMES)
    made = Memit(MemitParams(**settings | changes))
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


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2", "llama-14m"])
def test_independent_updates_agree_with_published_code(model: str) -> None:
    runs = [GOLDEN.run(i) for i in ALONE if i.startswith(model) and "/plain/" in i]
    assert len(runs) == 3
    patches = editor(runs[0]).edit_each(
        GOLDEN.model(model), [r for run in runs for r in GOLDEN.requests(run["requests"])]
    )
    for run, patch in zip(runs, patches, strict=True):
        assert near(max(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT[run["model"]])


@pytest.mark.parametrize("identifier", [i for i in ALONE if "/light-moments/" in i])
def test_independent_updates_are_made_under_the_earlier_layers_of_their_own(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    other = EditRequest(prompt="The colour of Tarsin is", subject="Tarsin", target="red")
    patch = editor(run).edit_each(GOLDEN.model(run["model"]), [other, *GOLDEN.requests(run["requests"])])[1]
    assert near(max(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT[run["model"]])


@pytest.mark.parametrize("changes", [{"essence_position": "prompt-end"}, {"key_mean": "prompts"}], ids=str)
def test_where_the_published_way_is_one_of_two_the_papers_is_the_default(changes: dict[str, Any]) -> None:
    assert {name: getattr(MemitParams(), name) for name in changes} == changes


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2", "llama-14m"])
@pytest.mark.parametrize(
    "changes",
    [
        {"essence_position": "prompt-end"},
        {"key_mean": "prompts"},
        {"steps": 24},
        {"kl_factor": 0},
        {"moment_weight": 2.0},
    ],
    ids=str,
)
def test_a_wrong_method_is_told_from_rounding(changes: dict[str, Any], model: str) -> None:
    (identifier,) = (i for i in GOLDEN.runs(model) if "/light-moments/" in i)
    run = GOLDEN.run(identifier)
    patch = editor(run, **changes).edit(GOLDEN.model(model), GOLDEN.requests(run["requests"]))
    assert far(min(GOLDEN.layer_errors(run, run["tensors"], patch)), AGREEMENT[model])
