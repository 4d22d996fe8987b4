"""norm-anchor in MEMIT, AlphaEdit and ROME, against what published code makes of the same requests.

Where the values come from is said in golden/README.md.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_alphaedit.editor import AlphaEdit
from wildcore_alphaedit.null_space import NullSpace, spectrum
from wildcore_alphaedit.parameters import AlphaEditParams
from wildcore_keyvalue.solver import MomentSolver
from wildcore_keyvalue.testing import (
    LEAST_SQUARES_NAMES,
    VALUE_NAMES,
    PublishedRuns,
    Run,
    moments_of,
    with_moments,
)
from wildcore_keyvalue.transforms import ValueFinder
from wildcore_memit.editor import Memit
from wildcore_memit.parameters import MemitParams
from wildcore_norm_anchor.parameters import NormAnchorParams
from wildcore_norm_anchor.reference import trimmed_mean
from wildcore_norm_anchor.transform import NormAnchor
from wildcore_rome.editor import Rome
from wildcore_rome.parameters import RomeParams

from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore.storage.artifacts import read_sound
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
ILL_CONDITIONED = "tiny-llama/nas/rome/plain/tiny-several-tokens", 1e-3
"""A run whose value is so found that rounding moves it further, and what it may move it by."""
OF_NORMS = 1e-5
ALPHAEDIT_NAMES = VALUE_NAMES | {"nullspace_threshold": "nullspace_threshold", "L2": "update_penalty"}


def tolerance(run: dict[str, Any]) -> float:
    """Return how far rounding may move the run's updates."""
    identifier, wider = ILL_CONDITIONED
    return wider if run["id"] == identifier else AGREEMENT


def with_null_spaces(editor: AlphaEdit, run: Run, model: LoadedModel) -> None:
    for layer, kept in zip(run["layers"], run["directions_kept"], strict=True):
        editor.null_spaces[layer] = NullSpace(spectrum(moments_of(model, layer)), kept)


TOLERANCE = {"tiny-llama": AGREEMENT, "tiny-gpt2": AGREEMENT}
MEMIT = PublishedRuns(GOLDEN, "memit", Memit, MemitParams, LEAST_SQUARES_NAMES, with_moments, TOLERANCE)
ALPHAEDIT = PublishedRuns(GOLDEN, "alphaedit", AlphaEdit, AlphaEditParams, ALPHAEDIT_NAMES, with_null_spaces, TOLERANCE)


def rome(run: dict[str, Any], model: LoadedModel) -> Rome:
    (layer,) = run["layers"]
    settings = GOLDEN.settings("rome", run, VALUE_NAMES)
    made = Rome(RomeParams(layer=layer, damping=0.0, essence_position="subject-end", **settings))
    made.prefixes = GOLDEN.prefixes
    made.solver = MomentSolver(moments_of(model, layer), 0.0)
    return made


def editor(run: dict[str, Any], model: LoadedModel) -> Memit | AlphaEdit | Rome:
    """Return the run's editor as the published code has it, with the run's reference norm."""
    several_layers = {"memit": MEMIT, "alphaedit": ALPHAEDIT}.get(run["editor"])
    made = several_layers.editor(run) if several_layers else rome(run, model)
    made.transforms = [NormAnchor(NormAnchorParams(norm=run["norm"], longest=run["longest"]))]
    return made


def errors(run: dict[str, Any], step: int, patch: WeightPatch) -> list[float]:
    """Return each layer's relative error; where nothing was written, how large ours is beside the weight."""
    model = GOLDEN.model(run["model"])
    if max(run["frobenius_norm"][step].values()) > 1e-5:
        return GOLDEN.layer_errors(run, run["tensors"][step], patch)
    weights = [model.mlp_output(layer).weight for layer in run["layers"]]
    return [float(c.dense().norm() / w.norm()) for c, w in zip(patch.changes.values(), weights, strict=True)]


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_the_updates_agree_with_published_code_one_after_the_other(identifier: str) -> None:
    run = GOLDEN.run(identifier)
    model = GOLDEN.model(run["model"])
    made = editor(run, model)
    with ExitStack() as earlier:
        for step, names in enumerate(run["steps"]):
            patch = made.edit(model, GOLDEN.requests(names))
            assert near(max(errors(run, step, patch)), tolerance(run))
            earlier.enter_context(patch.applied(model))


@pytest.mark.parametrize("name", ["memit", "alphaedit", "rome"])
@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_independent_updates_agree_with_published_code(model: str, name: str) -> None:
    runs = [GOLDEN.run(i) for i in GOLDEN.runs(f"{model}/nas/{name}/plain/")]
    assert len(runs) == 3
    made, asked = editor(runs[0], GOLDEN.model(model)), [r for run in runs for r in GOLDEN.requests(run["steps"][0])]
    for run, patch in zip(runs, made.edit_each(GOLDEN.model(model), asked), strict=True):
        assert isinstance(patch, WeightPatch)
        assert near(max(errors(run, 0, patch)), tolerance(run))


@pytest.mark.parametrize("name", ["memit", "alphaedit", "rome"])
@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_a_wrong_method_is_told_from_rounding(model: str, name: str) -> None:
    """A reference norm two per cent too large; values as they were found, not scaled."""
    first, *others = GOLDEN.runs(f"{model}/nas/{name}/plain/")
    for run in map(GOLDEN.run, (first, *(other for other in others if other == ILL_CONDITIONED[0]))):
        for wrong in ([NormAnchor(NormAnchorParams(norm=1.02 * run["norm"], longest=run["longest"]))], []):
            made = editor(run, GOLDEN.model(model))
            made.transforms = wrong
            patch = made.edit(GOLDEN.model(model), GOLDEN.requests(run["steps"][0]))
            assert far(min(errors(run, 0, patch)), tolerance(run))


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_the_measured_reference_norm_is_that_of_published_code(model: str, tmp_path: Path) -> None:
    measured = GOLDEN.content["measured"][model]
    loaded, environment = GOLDEN.model(model), quiet_environment(tmp_path)
    settings = GOLDEN.settings("memit", {"overrides": {}}, LEAST_SQUARES_NAMES)
    params = MemitParams(layers=(0, measured["layer"]), essence_position="subject-end", **settings)
    finder = ValueFinder(loaded, measured["layer"], params, "layer-output")
    transform = NormAnchor(NormAnchorParams())
    transform.prepare(loaded, environment, finder)
    assert transform.norm == pytest.approx(measured["norm"], rel=OF_NORMS)
    (kept,) = (tmp_path / "prepared" / "value-norms").glob("*.safetensors")
    found = read_sound(kept)[1]["norms"].sort().values
    assert near(relative_error(found, torch.tensor(measured["norms_ascending"])), OF_NORMS)
    assert trimmed_mean(found, 0.05)[1] == len(found) - measured["left_out"]
    assert trimmed_mean(found, 0)[0] == pytest.approx(measured["mean_of_all"], rel=OF_NORMS)
    assert far(trimmed_mean(found, 0)[0] / measured["norm"] - 1, OF_NORMS)
