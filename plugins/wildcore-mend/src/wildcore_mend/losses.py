"""The losses of training: how improbable the target is after the edit, and how far the edited model differs from the unedited
one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from wildcore.models import LoadedModel
from wildcore.patches import LowRank, RowPatches, WeightPatch
from wildcore_mend.asking import Asked
from wildcore_mend.examples import Trial
from wildcore_mend.gradients import gradients
from wildcore_mend.network import HyperNetwork
from wildcore_mend.parameters import MendParams


@dataclass(frozen=True)
class Losses:
    """For each trial: the mean negative log-probability of the target's tokens, the share of them that is most probable, and
    the mean divergence from the unedited model over the tokens of the locality answer; all [trials].
    """

    edit: Tensor
    accuracy: Tensor
    locality: Tensor

    def weighted(self, params: MendParams) -> Tensor:
        """Return the training loss: [trials]."""
        return params.edit_weight * self.edit + params.locality_weight * self.locality


def losses_after(
    model: LoadedModel, network: HyperNetwork, trials: Sequence[Trial], params: MendParams, observe: bool = False
) -> Losses:
    """Make each trial's edit and return the losses of the edited models; gradients flow from them to the network.

    With ``observe`` the network adds the edits' gradients to its statistics, one after another.
    """
    begin = params.train_beginning_of_sequence
    of_each = gradients(model, network.names, [trial.edit for trial in trials], begin)
    return losses_under(model, network.changes(of_each, observe), trials, params)


def losses_under(
    model: LoadedModel, changes: Sequence[dict[str, LowRank]], trials: Sequence[Trial], params: MendParams
) -> Losses:
    """Return the losses of each trial under its own changes: both questions of all trials in one batch."""
    target = Asked.of(model, [trial.target for trial in trials], params.train_beginning_of_sequence)
    locality = Asked.of(model, [trial.locality for trial in trials])
    with torch.no_grad():
        before = locality.logits(model)
    with RowPatches(model, [[WeightPatch(change)] for change in changes]).applied(range(len(trials))):
        after_target, after = target.logits(model), locality.logits(model)
    return Losses(
        edit=target.mean_of_rows(cross_entropy(after_target, target.wanted, reduction="none")),
        accuracy=target.mean_of_rows((after_target.argmax(-1) == target.wanted).to(after_target)),
        locality=locality.mean_of_rows(_divergence(before, after)),
    )


def _divergence(before: Tensor, after: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of ``after`` from ``before``, both logits [answers, vocabulary]: [answers]."""
    old, new = before.log_softmax(-1), after.log_softmax(-1)
    return (old.exp() * (old - new)).sum(-1)
