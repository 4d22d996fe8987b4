"""The rank-one edit.

With W the layer's MLP output projection, k its input and W k its output at the subject's last token, C the second moments of
its inputs and v the value that makes the model say the target (Meng et al. 2022, equation 2)::

    W' = W + (v - W k) u^T / (u . k)    with    u = C^-1 k_u / |C^-1 k_u|

ROME takes k_u as the mean over prefixed prompts and k of the bare prompt, two different keys in one formula; R-ROME (Gupta et
al. 2024, equation 3) takes the mean for both.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor
from wildcore_keyvalue.moments import MomentSolver, second_moments
from wildcore_keyvalue.prefixes import sampled_prefixes
from wildcore_keyvalue.prompts import SubjectText, without_target
from wildcore_keyvalue.traces import keys_and_values
from wildcore_keyvalue.values import OptimisedValue, ValueProblem, optimise_values, pose, required

from wildcore import Editor, EditRequest, Environment, Patch, Refused
from wildcore.models import LoadedModel
from wildcore.patches import LowRank, WeightPatch
from wildcore_rome.parameters import RomeParams, UpdateKey


class Rome(Editor):
    """ROME and R-ROME, which differ in ``update_key`` only."""

    def __init__(self, params: RomeParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.prefixes: tuple[str, ...] = ("",)
        self.solver: MomentSolver | None = None

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Sample the prefixes and estimate the second moments, or take them from the cache."""
        params = self.params
        self.prefixes = sampled_prefixes(model, environment, params.prefix_lengths, params.prefix_top_k)
        if params.second_moments == "corpus":
            moments = second_moments(model, self.layer, params.corpus, params.moment_tokens, environment)
            self.solver = MomentSolver(moments, params.damping, model.device)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the update for ``requests``: one after the other, each computed on the model that carries those before it."""
        steps: list[LowRank] = []
        name = model.mlp_output(self.layer).name
        with ExitStack() as earlier:
            for request in requests:
                steps += self._rank_one(model, required(self._posed(model, [request])))
                if len(requests) > 1:
                    earlier.enter_context(WeightPatch({name: steps[-1]}).applied(model))
        left = torch.cat([step.left for step in steps], dim=1)
        return WeightPatch({name: LowRank(left, torch.cat([step.right for step in steps], dim=1))})

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return an update for each of the independent ``requests``, all values optimised together."""
        problems = self._posed(model, requests)
        solvable = [problem for problem in problems if not isinstance(problem, Refused)]
        updates = iter(self._rank_one(model, solvable) if solvable else ())
        name = model.mlp_output(self.layer).name
        return [p if isinstance(p, Refused) else WeightPatch({name: next(updates)}) for p in problems]

    def _posed(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[ValueProblem | Refused]:
        return pose(model, requests, self.prefixes, self.params.close_target)

    def _rank_one(self, model: LoadedModel, problems: Sequence[ValueProblem]) -> list[LowRank]:
        values = optimise_values(model, self.layer, problems, self.params)
        keys_and_values = self._keys_and_values(model, [problem.request for problem in problems])
        return [self._update(value, *own) for value, own in zip(values, keys_and_values, strict=True)]

    def _update(self, value: OptimisedValue, keys: Tensor, values: Tensor) -> LowRank:
        direction = self._direction(_chosen(keys, self.params.direction_key))
        key, replaced = _chosen(keys, self.params.update_key), _chosen(values, self.params.update_key)
        left = (value.value - replaced) / (key @ direction)
        return LowRank(left[:, None], direction[:, None])

    def _keys_and_values(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[tuple[Tensor, Tensor]]:
        """Return each request's keys [prefixes, inputs] and values [prefixes, outputs]."""
        texts: list[SubjectText] = [
            without_target(model, prefix + request.prompt, request.subject)
            for request in requests
            for prefix in self.prefixes
        ]
        keys, values = keys_and_values(model, self.layer, texts)
        count = len(self.prefixes)
        return list(zip(keys.split(count), values.split(count), strict=True))

    def _direction(self, key: Tensor) -> Tensor:
        raw = key if self.solver is None else self.solver.solve(key[:, None])[:, 0]
        return raw / raw.norm()


def _chosen(rows: Tensor, key: UpdateKey) -> Tensor:
    """Return the mean over all prefixes, or the row of the bare prompt, which comes first."""
    return rows.mean(0) if key == "prefixed" else rows[0]
