"""The rank-one edit.

With W the layer's MLP output projection, k its input and W k its output at the subject's last token, C the second moments of
its inputs and v the value that makes the model say the target (Meng et al. 2022, equation 2)::

    W' = W + (v - W k) u^T / (u . k)    with    u = C^-1 k_u / |C^-1 k_u|

ROME uses two different keys in this formula: for k_u the mean over prefixed prompts, for k the key of the bare prompt. R-ROME
(Gupta et al. 2024, equation 3) uses the mean for both.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from wildcore_keyvalue.moment_source import MomentSource, moment_solvers
from wildcore_keyvalue.prefixes import chosen_prefixes, pinned_prefixes
from wildcore_keyvalue.prompts import SubjectText, require_target_and_subject, without_target
from wildcore_keyvalue.recording import record, record_values
from wildcore_keyvalue.solver import MomentSolver
from wildcore_keyvalue.traces import keys_and_values
from wildcore_keyvalue.transforms import ValueFinder, transformed_update, transformed_values
from wildcore_keyvalue.values import ValueProblem, pose, required

from wildcore import NO_PROGRESS, Editor, EditRequest, Environment, Patch, Progress, Refused, Trace, Transform
from wildcore.inference import GraphedSteps
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore_rome.parameters import RomeParams, UpdateKey


class Rome(Editor):
    """ROME and R-ROME, which differ only in ``update_key``."""

    needs_subject = True

    transforms: Sequence[Transform] = ()

    def __init__(self, params: RomeParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.prefixes: tuple[str, ...] = ("",)
        self.graphs = GraphedSteps()
        self.progress: Progress = NO_PROGRESS
        self.solver: MomentSolver | None = None
        self.trace: Trace | None = None

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the hashes of the prefixes' file and of the corpus or the file of second moments."""
        with_moments = self.params.second_moments == "corpus"
        moments = MomentSource.of(self.params).pinned_resources((self.layer,)) if with_moments else {}
        return pinned_prefixes(self.params.prefixes) | moments

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Sample the prefixes and estimate the second moments, or read them from the cache."""
        params = self.params
        self.trace, self.progress = environment.trace, environment.progress
        self.prefixes = chosen_prefixes(model, environment, params.prefixes, params.prefix_lengths, params.prefix_top_k)
        if params.second_moments == "corpus":
            solvers = moment_solvers(model, (self.layer,), MomentSource.of(params), params.damping, environment)
            self.solver = solvers[self.layer]
        for transform in self.transforms:
            transform.prepare(model, environment, self._finder(model))

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or whose subject is not in its prompt."""
        require_target_and_subject(request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the update for ``requests``, made one after the other; each is computed on the model with the earlier ones
        applied.
        """
        steps: list[LowRank | Dense] = []
        name = model.mlp_output(self.layer).name
        with ExitStack() as earlier:
            for request in requests:
                steps += self._rank_one(model, required(self._posed(model, [request])))
                if len(requests) > 1:
                    earlier.enter_context(WeightPatch({name: steps[-1]}).applied(model))
        return WeightPatch({name: _sum(steps)})

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return an update for each of the independent ``requests``; their values are optimised together."""
        problems = self._posed(model, requests)
        solvable = [problem for problem in problems if not isinstance(problem, Refused)]
        updates = iter(self._rank_one(model, solvable) if solvable else ())
        name = model.mlp_output(self.layer).name
        return [p if isinstance(p, Refused) else WeightPatch({name: next(updates)}) for p in problems]

    def _finder(self, model: LoadedModel) -> ValueFinder:
        return ValueFinder(model, self.layer, self.params, graphs=self.graphs, progress=self.progress)

    def _posed(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[ValueProblem | Refused]:
        return pose(model, requests, self.prefixes, self.params.close_target)

    def _rank_one(self, model: LoadedModel, problems: Sequence[ValueProblem]) -> list[LowRank | Dense]:
        """Return the update of each problem; before the transforms it has rank one."""
        found = self._finder(model).find(problems)
        values = transformed_values(self.transforms, found)
        record_values(self.trace, problems, found, values)
        read = self._keys_and_values(model, [problem.request for problem in problems])
        updates = [self._update(value, *own) for value, own in zip(values, read, strict=True)]
        for problem, (keys, replaced), update in zip(problems, read, updates, strict=True):
            factors = {f"left.{self.layer}": update.left[:, 0], f"right.{self.layer}": update.right[:, 0]}
            record(
                self.trace, problem.request, {f"keys.{self.layer}": keys, f"values.{self.layer}": replaced} | factors
            )
        weight = model.mlp_output(self.layer).weight
        return [transformed_update(self.transforms, update, weight) for update in updates]

    def _update(self, value: Tensor, keys: Tensor, values: Tensor) -> LowRank:
        direction = self._direction(_chosen(keys, self.params.direction_key))
        key, replaced = _chosen(keys, self.params.update_key), _chosen(values, self.params.update_key)
        left = (value - replaced) / (key @ direction)
        return LowRank(left[:, None], direction[:, None])

    def _keys_and_values(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[tuple[Tensor, Tensor]]:
        """Return each request's keys [prefixes, inputs] and values [prefixes, outputs]."""
        texts: list[SubjectText] = [
            without_target(model, prefix + request.prompt, request.subject)
            for request in requests
            for prefix in self.prefixes
        ]
        keys, values = keys_and_values(model, self.layer, texts)
        shape = (len(requests), len(self.prefixes), -1)
        return list(zip(keys.view(shape), values.view(shape), strict=True))

    def _direction(self, key: Tensor) -> Tensor:
        raw = key if self.solver is None else self.solver.solve(key[:, None])[:, 0]
        direction: Tensor = raw / raw.norm()
        return direction


def _chosen(rows: Tensor, key: UpdateKey) -> Tensor:
    """Return the mean over all prefixes, or the row of the bare prompt, which is the first."""
    return rows.mean(0) if key == "prefixed" else rows[0]


def _sum(steps: Sequence[LowRank | Dense]) -> LowRank | Dense:
    """Return the sum of changes; it is low-rank if all of them are."""
    thin = [step for step in steps if isinstance(step, LowRank)]
    if len(thin) < len(steps):
        return Dense(torch.stack([step.dense() for step in steps]).sum(0))
    return LowRank(torch.cat([step.left for step in thin], dim=1), torch.cat([step.right for step in thin], dim=1))
