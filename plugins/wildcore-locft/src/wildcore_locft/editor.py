"""LocFT-BF.

Fine-tuning as it is usually done outside model editing (Yang et al. 2026): epochs of mini-batches over all requests, instead of
training on one request until it is learned and then on the next. The loss is on the target alone, which is closed with the
end-of-sequence token. One layer is trained; the layer and its modules are chosen for the model.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor
from wildcore_training.asking import Asked, ask_in_place
from wildcore_training.recording import record_losses
from wildcore_training.side_by_side import Losses, Schedule, train

from wildcore import NO_PROGRESS, Editor, EditRequest, Environment, Patch, Progress, Refused, Trace, map_or_refuse
from wildcore.inference import GraphedSteps
from wildcore.models import LoadedModel, training_pair
from wildcore.patches import Dense, WeightPatch
from wildcore_locft.breadth_first import train_breadth_first
from wildcore_locft.parameters import LocFTParams, Module


class LocFT(Editor):
    """Adam on linear maps of one layer, in epochs of mini-batches."""

    def __init__(self, params: LocFTParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params, self.layer = params, params.layer
        self.seed = 0
        self.graphs = GraphedSteps()
        self.progress: Progress = NO_PROGRESS
        self.trace: Trace | None = None

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Store the seed for shuffling requests, where to show steps, and the trace, if one was asked for."""
        self.seed, self.trace, self.progress = environment.seed, environment.trace, environment.progress

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or without any token before it."""
        self._asked(model, request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the change made by training on all ``requests``. Raises ``Refused`` if any cannot be trained on."""
        asked = [self._asked(model, request) for request in requests]
        if self._is_one_projection() and len(asked) <= self.params.batch_size:
            return self._side_by_side(model, [asked], [requests])[0]
        names = trained_maps(model, self.layer, self.params.module)
        losses: list[float] = []
        changes = train_breadth_first(model, names, asked, self.params, self.seed, losses, self.progress)
        record_losses(self.trace, requests, [losses] * len(requests))
        return _patch(changes)

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return for each request the change made by training on it alone.

        If the MLP's output projection is trained, all are trained in one batch, else one after another.
        """
        if not self._is_one_projection():
            return super().edit_each(model, requests)
        asked = map_or_refuse(partial(self._asked, model), requests)
        trained = [[request] for request, one in zip(requests, asked, strict=True) if isinstance(one, Asked)]
        patches = iter(self._side_by_side(model, [[one] for one in asked if isinstance(one, Asked)], trained))
        return [one if isinstance(one, Refused) else next(patches) for one in asked]

    def _is_one_projection(self) -> bool:
        return self.params.module == "mlp-output"

    def _side_by_side(
        self, model: LoadedModel, groups: Sequence[Sequence[Asked]], requests: Sequence[Sequence[EditRequest]]
    ) -> list[WeightPatch]:
        """Train each group's requests in one batch, so that an epoch is one step and the order within it does not matter."""
        params = self.params
        schedule = Schedule(params.epochs, params.learning_rate, params.weight_decay, params.loss_threshold)
        name = model.mlp_output(self.layer).name
        losses: Losses = []
        changes = train(model, self.layer, groups, schedule, losses, self.graphs, self.progress)
        for group, own in zip(requests, losses, strict=True):
            record_losses(self.trace, group, [own] * len(group))
        return [_patch({name: change}) for change in changes]

    def _asked(self, model: LoadedModel, request: EditRequest) -> Asked:
        return ask_in_place(training_pair(model, request, self.params.close_target))


def trained_maps(model: LoadedModel, layer: int, module: Module) -> list[str]:
    """Return the names of the linear maps selected by ``module``."""
    family = model.family
    attention = (*family.attention_input, family.attention_output)
    mlp = (*family.mlp_input, family.mlp_output)
    own = {"mlp-output": (family.mlp_output,), "mlp": mlp, "attention": attention, "layer": (*attention, *mlp)}
    return [f"{family.layers}.{layer}.{name}" for name in own[module]]


def _patch(changes: dict[str, Tensor]) -> WeightPatch:
    return WeightPatch({name: Dense(change) for name, change in changes.items()})
