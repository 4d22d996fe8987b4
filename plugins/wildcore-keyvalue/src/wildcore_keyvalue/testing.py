"""Shared by tests of closed-form editors: published names of hyper-parameters, second moments by a formula, and the comparison
of an editor of several layers with what published code made of the same requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from wildcore import EditRequest, Patch, Refused
from wildcore.models import LoadedModel
from wildcore.testing.golden import Golden, far, near
from wildcore_keyvalue.layer_parameters import SeveralLayersParams
from wildcore_keyvalue.least_squares import LeastSquares
from wildcore_keyvalue.several_layers import SeveralLayers
from wildcore_keyvalue.solver import MomentSolver

E = TypeVar("E", bound=SeveralLayers)
Run = Mapping[str, Any]
"""An entry of golden.json."""

VALUE_NAMES = {
    "v_num_grad_steps": "steps",
    "v_lr": "learning_rate",
    "v_weight_decay": "weight_decay",
    "clamp_norm_factor": "clamp_factor",
    "kl_factor": "kl_factor",
}
"""Hyper-parameters of finding values: their names in published code, and ours."""

LEAST_SQUARES_NAMES = VALUE_NAMES | {"mom2_update_weight": "moment_weight"}
"""The same with the weight of the second moments."""

PUBLISHED_WAY = {"essence_position": "subject-end", "key_mean": "groups"}
PAPERS_WAY = {"essence_position": "prompt-end", "key_mean": "prompts"}
"""What published code does, and what the papers define, where these are two; the papers' way is the default."""


@dataclass(frozen=True)
class PublishedRuns(Generic[E]):
    """Golden runs of one editor of several layers, and the editor as published code has it, to compare with them.

    ``name`` is what golden.json calls the editor's hyper-parameters, of which ``names`` are set by our names; ``equip`` gives a
    made editor the second moments of a run on its model; ``tolerance`` says by model how far rounding may move an update,
    relatively. A run has requests and tensors for each of its "steps", or is one step.
    """

    golden: Golden
    name: str
    make: Callable[[Any], E]
    params: type[SeveralLayersParams]
    names: Mapping[str, str]
    equip: Callable[[E, Run, LoadedModel], None]
    tolerance: Mapping[str, float]

    def editor(self, run: Run, **changes: Any) -> E:
        """Return the run's editor, with other values of the parameters in ``changes``."""
        settings = self.golden.settings(self.name, run, self.names)
        made = self.make(self.params(**{"layers": run["layers"], **PUBLISHED_WAY, **settings, **changes}))
        made.prefixes = self.golden.prefixes
        self.equip(made, run, self.model(run))
        return made

    def model(self, run: Run) -> LoadedModel:
        """Return the run's model."""
        return self.golden.model(run["model"])

    def requests(self, run: Run, step: int = 0) -> list[EditRequest]:
        """Return what the run wrote in a step."""
        return self.golden.requests(run["steps"][step] if "steps" in run else run["requests"])

    def edited(self, run: Run, **changes: Any) -> Patch:
        """Return the patch that the run's editor makes of the requests of its first step."""
        return self.editor(run, **changes).edit(self.model(run), self.requests(run))

    def edited_side_by_side(self, runs: Sequence[Run]) -> list[Patch | Refused]:
        """Return independent patches of runs with one request each, all made by the first run's editor in one call."""
        asked = [request for run in runs for request in self.requests(run)]
        return self.editor(runs[0]).edit_each(self.model(runs[0]), asked)

    def check_agrees(self, run: Run, patch: Patch | Refused, step: int = 0) -> None:
        """Raise ``AssertionError`` unless a patch is what published code made, but for rounding, in every layer."""
        errors = self._errors(run, patch, step)
        assert near(max(errors), self.tolerance[run["model"]]), f"{run['id']}: relative errors {errors}"

    def check_differs(self, run: Run, patch: Patch | Refused, step: int = 0) -> None:
        """Raise ``AssertionError`` unless a patch is another in every layer, so far that no rounding explains it."""
        errors = self._errors(run, patch, step)
        assert far(min(errors), self.tolerance[run["model"]]), f"{run['id']}: relative errors {errors}"

    def check_papers_way_is_the_default(self) -> None:
        """Raise ``AssertionError`` unless the parameters' defaults are the papers' way."""
        assert {name: self.params.model_fields[name].default for name in PAPERS_WAY} == PAPERS_WAY

    def _errors(self, run: Run, patch: Patch | Refused, step: int) -> list[float]:
        assert not isinstance(patch, Refused), patch
        tensors = run["tensors"][step] if "steps" in run else run["tensors"]
        return self.golden.layer_errors(run, tensors, patch)


def with_moments(editor: LeastSquares, run: Run, model: LoadedModel) -> None:
    """Give an editor that weighs keys by second moments those by the formula, without damping."""
    for layer in run["layers"]:
        editor.solvers[layer] = MomentSolver(moments_of(model, layer), 0.0)


def moments_of(model: LoadedModel, layer: int) -> Tensor:
    """Return the second moments used in place of those of a layer's keys, the same for published code and for ours."""
    return closed_formula_moments(model.mlp_output(layer).weight.shape[1])


def closed_formula_moments(width: int) -> Tensor:
    """Return C = I/2 + sum over j < 8 of a_j a_j^T / 8 with a_j[i] = sin(0.37 (j+1) (i+1)), [width, width], float32."""
    places = torch.arange(1, width + 1, dtype=torch.float64)
    waves = torch.stack([torch.sin(0.37 * j * places) for j in range(1, 9)])
    return (0.5 * torch.eye(width, dtype=torch.float64) + waves.T @ waves / 8).float()
