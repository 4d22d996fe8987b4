"""Transforms applied by closed-form editors: to the values before they are written, and to a layer's update."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from wildcore import NO_PROGRESS, EditRequest, Progress, Refused, Transform
from wildcore.inference import GraphedSteps
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank
from wildcore_keyvalue.parameters import ValueParams
from wildcore_keyvalue.values import AfterFirstSuccess, OptimisedValue, Place, ValueProblem, optimise_values, pose

VALUE_SETTINGS = (
    "steps",
    "learning_rate",
    "weight_decay",
    "clamp_factor",
    "kl_factor",
    "essence_position",
    "loss_threshold",
    "close_target",
)
"""The parameters on which the values found on given texts depend."""


@dataclass(frozen=True)
class ValueFinder:
    """How an editor finds values: where, and with which settings. Transforms receive it as ``ValueSolver``."""

    model: LoadedModel
    layer: int
    params: ValueParams
    place: Place = "mlp-output"
    once_said: AfterFirstSuccess | None = None
    graphs: GraphedSteps | None = None
    """The steps that were captured so far. None: steps are not captured."""
    progress: Progress = NO_PROGRESS
    """Where the steps are shown."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that values depend on besides model and request, as JSON values."""
        chosen = self.params.model_dump(mode="json", include=set(VALUE_SETTINGS))
        once_said = None if self.once_said is None else asdict(self.once_said)
        return {"layer": self.layer, "place": self.place, "once_said": once_said, **chosen}

    def find(self, problems: Sequence[ValueProblem]) -> list[OptimisedValue]:
        """Return the value of each problem."""
        return optimise_values(
            self.model, self.layer, problems, self.params, self.place, self.once_said, self.graphs, self.progress
        )

    def solve(self, requests: Sequence[EditRequest]) -> list[Tensor | Refused]:
        """Return for each request the value of its MLP [width], found on the bare prompt, or the refusal of the request."""
        posed = pose(self.model, requests, ("",), self.params.close_target)
        found = iter(self.find([problem for problem in posed if not isinstance(problem, Refused)]))
        return [problem if isinstance(problem, Refused) else _of_mlp(next(found)) for problem in posed]


def transformed_values(transforms: Sequence[Transform], found: Sequence[OptimisedValue]) -> Tensor:
    """Return the values to write [requests, width]: the transforms change the MLP's part of each, and the rest stays."""
    original = torch.stack([value.mlp for value in found])
    solved = written = torch.stack([_of_mlp(value) for value in found])
    for transform in transforms:
        written = transform.value(written, original)
    return torch.stack([value.value for value in found]) + (written - solved)


def transformed_update(transforms: Sequence[Transform], change: LowRank | Dense, weight: Tensor) -> LowRank | Dense:
    """Return the change to make to ``weight`` [outputs, inputs] instead of the one solved for."""
    for transform in transforms:
        change = transform.update(change, weight)
    return change


def _of_mlp(value: OptimisedValue) -> Tensor:
    return value.mlp + value.delta
