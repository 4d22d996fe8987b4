"""The update of several layers.

With L the last of the layers, h^L the residual stream after it at the subject's last token, and z = h^L + delta the vector that
makes the model say the target, each layer l in order writes its share of what is still missing (Meng et al. 2023, algorithm 1)::

    Delta_l = R K^T (lambda C + K K^T)^-1    with    R = (z - h^L) / (number of layers from l on)

K has the keys of all requests as columns, C the second moments of the layer's keys in the unedited model. Keys and h^L are
read anew for each layer, under the updates of those before it.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from wildcore_keyvalue.moments import MomentSolver, second_moments
from wildcore_keyvalue.prefixes import sampled_prefixes
from wildcore_keyvalue.prompts import without_target
from wildcore_keyvalue.traces import keys_and_states
from wildcore_keyvalue.values import ValueProblem, optimise_values, pose, required

from wildcore import Editor, EditRequest, Environment, Patch, Refused
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore.row_patches import RowPatches
from wildcore_memit.parameters import MemitParams
from wildcore_memit.solve import written_alone, written_together

T = TypeVar("T")

REQUESTS_TOGETHER = 32
"""Requests whose texts are in one batch: it bounds memory, not how many are written in one solve."""


class Memit(Editor):
    """MEMIT."""

    def __init__(self, params: MemitParams) -> None:
        assert params.layers is not None, "parameters are completed for a model first"
        assert params.moment_weight is not None, "parameters are completed for a model first"
        self.params = params
        self.layers, self.moment_weight = params.layers, params.moment_weight
        self.prefixes: tuple[str, ...] = ("",)
        self.solvers: dict[int, MomentSolver] = {}

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Sample the prefixes and estimate each layer's second moments, or take them from the cache."""
        params = self.params
        self.prefixes = sampled_prefixes(model, environment, params.prefix_lengths, params.prefix_top_k)
        for layer in self.layers if params.second_moments == "corpus" else ():
            moments = second_moments(model, layer, params.corpus, params.moment_tokens, environment)
            self.solvers[layer] = MomentSolver(moments, params.damping, model.device)
        if hasattr(model.layers[self.layers[-1]], "post_feedforward_layernorm"):
            environment.progress.note(
                "this architecture norms what an MLP gives before adding it to the residual stream; memit does not account "
                "for the norm, and what its update brings there is not the value that it aims at"
            )

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the update that writes all ``requests``, in one solve for each layer.

        Raises ``Refused`` if the subject of any is not in its prompt.
        """
        problems = required(self._posed(model, requests))
        goals = torch.cat([self._goals(model, some) for some in _batches(problems)])
        changes: dict[str, LowRank | Dense] = {}
        for layer in self.layers:
            with WeightPatch(changes).applied(model):
                read = [self._keys_and_states(model, layer, some) for some in _batches(problems)]
            keys, states = (torch.cat(parts) for parts in zip(*read, strict=True))
            right = written_together(keys.T, self.solvers.get(layer), self.moment_weight)
            left = self._share(layer, goals, states).T.to(right.device)
            changes[model.mlp_output(layer).name] = LowRank(left, right)
        return WeightPatch(changes)

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return an update for each of the independent ``requests``, their texts read together."""
        problems = self._posed(model, requests)
        solvable = [problem for problem in problems if not isinstance(problem, Refused)]
        patches = iter([patch for some in _batches(solvable) for patch in self._independent(model, some)])
        return [problem if isinstance(problem, Refused) else next(patches) for problem in problems]

    def _independent(self, model: LoadedModel, problems: Sequence[ValueProblem]) -> list[WeightPatch]:
        goals = self._goals(model, problems)
        owners = [number for number in range(len(problems)) for _ in self.prefixes]
        patches = [WeightPatch({}) for _ in problems]
        for layer in self.layers:
            with RowPatches(model, [[patch] for patch in patches]).applied(owners):
                keys, states = self._keys_and_states(model, layer, problems)
            right = written_alone(keys.T, self.solvers.get(layer), self.moment_weight)
            left, name = self._share(layer, goals, states).T.to(right.device), model.mlp_output(layer).name
            updates = [LowRank(left[:, [i]], right[:, [i]]) for i in range(len(problems))]
            patches = [WeightPatch({**p.changes, name: update}) for p, update in zip(patches, updates, strict=True)]
        return patches

    def _posed(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[ValueProblem | Refused]:
        return pose(model, requests, self.prefixes, self.params.close_target)

    def _goals(self, model: LoadedModel, problems: Sequence[ValueProblem]) -> Tensor:
        """Return z of each problem: [problems, width]."""
        values = optimise_values(model, self.layers[-1], problems, self.params, "layer-output")
        return torch.stack([value.value for value in values])

    def _share(self, layer: int, goals: Tensor, states: Tensor) -> Tensor:
        """Return what ``layer`` is to write of what is missing: [problems, width]."""
        return (goals - states) / (len(self.layers) - self.layers.index(layer))

    def _keys_and_states(
        self, model: LoadedModel, layer: int, problems: Sequence[ValueProblem]
    ) -> tuple[Tensor, Tensor]:
        """Return each problem's mean key [problems, inputs] and its bare prompt's h^L [problems, width]."""
        requests = [problem.request for problem in problems]
        texts = [without_target(model, p + r.prompt, r.subject) for r in requests for p in self.prefixes]
        keys, states = keys_and_states(model, layer, self.layers[-1], texts)
        return self._mean(keys.view(len(requests), len(self.prefixes), -1)), states[:: len(self.prefixes)]

    def _mean(self, keys: Tensor) -> Tensor:
        """Return the means [problems, inputs] of keys [problems, prefixes, inputs], the bare prompt's first."""
        if self.params.key_mean == "prompts" or keys.shape[1] == 1:
            return keys.mean(1)
        return (keys[:, 0] + keys[:, 1:].mean(1)) / 2


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + REQUESTS_TOGETHER] for start in range(0, len(items), REQUESTS_TOGETHER)]
