"""Editors that write into the MLPs of several layers, each layer its share (Meng et al., ICLR 2023, algorithm 1).

L is the last of the layers, h^L the residual stream after it at the subject's last token, and z the vector that makes the
model say the target when it replaces h^L. Each layer l in order writes R X^T, where::

    R = (z - h^L) / (number of layers from l on)

and X, the right factor, is computed by the method from the keys of all requests. Keys and h^L are read anew for each layer,
with the updates of the layers before it applied.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from wildcore import NO_PROGRESS, Editor, EditRequest, Environment, Patch, Progress, Refused, Trace, Transform
from wildcore.inference import GraphedSteps
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank, RowPatches, WeightPatch
from wildcore_keyvalue.layer_parameters import SeveralLayersParams
from wildcore_keyvalue.prefixes import chosen_prefixes, pinned_prefixes
from wildcore_keyvalue.prompts import SubjectText, require_target_and_subject, without_target
from wildcore_keyvalue.recording import record, record_values
from wildcore_keyvalue.traces import keys_and_states
from wildcore_keyvalue.transforms import ValueFinder, transformed_update, transformed_values
from wildcore_keyvalue.values import AfterFirstSuccess, Place, ValueProblem, pose, required, written_module

T = TypeVar("T")

REQUESTS_TOGETHER = 32
"""Number of requests whose texts share a batch. It bounds memory, not how many are written in one solve."""


class SeveralLayers(Editor):
    """Base of these editors. A method defines ``solve_jointly`` and ``solve_independently``, its use of the keys; the other
    methods have defaults.
    """

    needs_subject = True

    transforms: Sequence[Transform] = ()

    place: ClassVar[Place] = "layer-output"
    """Where in the last of the layers the value is added."""

    once_said: AfterFirstSuccess | None = None
    """Changes in finding a value once the model says the target."""

    def __init__(self, params: SeveralLayersParams) -> None:
        assert params.layers is not None, "parameters are completed for a model first"
        self.params = params
        self.layers = params.layers
        self.prefixes: tuple[str, ...] = ("",)
        self.graphs = GraphedSteps()
        self.progress: Progress = NO_PROGRESS
        self.trace: Trace | None = None

    @abstractmethod
    def solve_jointly(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factor [inputs, n] for the keys [inputs, n] of requests that are written in one solve."""

    @abstractmethod
    def solve_independently(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factors [inputs, n] for keys [inputs, n], each column an edit of its own."""

    def prepare_layers(self, model: LoadedModel, environment: Environment) -> None:
        """Compute once what the layers' solves need, or read it from the cache."""
        return None

    def finder(self, model: LoadedModel) -> ValueFinder:
        """Return how values are found."""
        return ValueFinder(model, self.layers[-1], self.params, self.place, self.once_said, self.graphs, self.progress)

    def read(self, model: LoadedModel, layer: int, texts: Sequence[SubjectText]) -> tuple[Tensor, Tensor]:
        """Return the texts' keys in ``layer`` [texts, inputs] and the current vectors at the value's place [texts, width]."""
        return keys_and_states(model, layer, written_module(model, self.layers[-1], self.place), texts)

    def mean_key(self, keys: Tensor) -> Tensor:
        """Return the means [problems, inputs] of keys [problems, prefixes, inputs]; the bare prompt's key is the first."""
        if self.params.key_mean == "prompts" or keys.shape[1] == 1:
            return keys.mean(1)
        return (keys[:, 0] + keys[:, 1:].mean(1)) / 2

    def share(self, layer: int, missing: Tensor) -> Tensor:
        """Return the part of the remaining difference ``missing`` that ``layer`` writes: [problems, width]."""
        return missing / (len(self.layers) - self.layers.index(layer))

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the hash of the prefixes' file."""
        return pinned_prefixes(self.params.prefixes)

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Sample the prefixes and compute what the layers' solves need, or read both from the cache."""
        params = self.params
        self.prefixes = chosen_prefixes(model, environment, params.prefixes, params.prefix_lengths, params.prefix_top_k)
        self.trace, self.progress = environment.trace, environment.progress
        self.prepare_layers(model, environment)
        for transform in self.transforms:
            transform.prepare(model, environment, self.finder(model))
        if self.place == "layer-output" and hasattr(model.layers[self.layers[-1]], "post_feedforward_layernorm"):
            environment.progress.note(
                "this architecture norms what an MLP gives before adding it to the residual stream; the editor does not "
                "account for the norm, and what its update brings there is not the value that it aims at"
            )

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or whose subject is not in its prompt."""
        require_target_and_subject(request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the update that writes all ``requests``, in one solve for each layer.

        Raises ``Refused`` if the subject of any is not in its prompt.
        """
        return self.written(model, required(self.posed(model, requests)))

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return an update for each of the independent ``requests``; their texts are read together."""
        problems = self.posed(model, requests)
        solvable = [problem for problem in problems if not isinstance(problem, Refused)]
        patches = iter([patch for some in _batches(solvable) for patch in self._independent(model, some)])
        return [problem if isinstance(problem, Refused) else next(patches) for problem in problems]

    def posed(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[ValueProblem | Refused]:
        """Return the problem of each request, or its refusal."""
        return pose(model, requests, self.prefixes, self.params.close_target)

    def written(self, model: LoadedModel, problems: Sequence[ValueProblem]) -> WeightPatch:
        """Return the update that writes all ``problems``, solved layer by layer."""
        goals = torch.cat([self.goals(model, some) for some in _batches(problems)])
        patch = WeightPatch({})
        for layer in self.layers:
            with patch.applied(model):
                keys, states = self.keys_and_states(model, layer, problems)
            right = self.solve_jointly(layer, keys.T)
            left = self.share(layer, goals - states).T.to(right.device)
            self._record(layer, problems, keys, left, right)
            patch = self._with_update(model, layer, patch, LowRank(left, right))
        return patch

    def _independent(self, model: LoadedModel, problems: Sequence[ValueProblem]) -> list[WeightPatch]:
        goals = self.goals(model, problems)
        owners = [number for number in range(len(problems)) for _ in self.prefixes]
        patches = [WeightPatch({}) for _ in problems]
        for layer in self.layers:
            with RowPatches(model, [[patch] for patch in patches]).applied(owners):
                keys, states = self._read_together(model, layer, problems)
            right = self.solve_independently(layer, keys.T)
            left = self.share(layer, goals - states).T.to(right.device)
            self._record(layer, problems, keys, left, right)
            updates = [LowRank(left[:, [i]], right[:, [i]]) for i in range(len(problems))]
            patches = [self._with_update(model, layer, *both) for both in zip(patches, updates, strict=True)]
        return patches

    def goals(self, model: LoadedModel, problems: Sequence[ValueProblem]) -> Tensor:
        """Return the values to write, after the transforms: [problems, width]."""
        found = self.finder(model).find(problems)
        goals = transformed_values(self.transforms, found)
        record_values(self.trace, problems, found, goals)
        return goals

    def _record(self, layer: int, problems: Sequence[ValueProblem], keys: Tensor, left: Tensor, right: Tensor) -> None:
        """Record a layer's keys [problems, inputs] and its factors, the columns by problem."""
        for number, problem in enumerate(problems if self.trace is not None else ()):
            record(
                self.trace,
                problem.request,
                {
                    f"key.{layer}": keys[number],
                    f"left.{layer}": left[:, number],
                    f"right.{layer}": right[:, number],
                },
            )

    def _with_update(self, model: LoadedModel, layer: int, patch: WeightPatch, update: LowRank) -> WeightPatch:
        projection = model.mlp_output(layer)
        change: LowRank | Dense = transformed_update(self.transforms, update, projection.weight)
        return WeightPatch({**patch.changes, projection.name: change})

    def keys_and_states(
        self, model: LoadedModel, layer: int, problems: Sequence[ValueProblem]
    ) -> tuple[Tensor, Tensor]:
        """Return each problem's mean key [problems, inputs] and its bare prompt's current vector at the value's place.

        The latter is [problems, width].
        """
        read = [self._read_together(model, layer, some) for some in _batches(problems)]
        keys, states = zip(*read, strict=True)
        return torch.cat(keys), torch.cat(states)

    def _read_together(self, model: LoadedModel, layer: int, problems: Sequence[ValueProblem]) -> tuple[Tensor, Tensor]:
        requests = [problem.request for problem in problems]
        texts = [without_target(model, p + r.prompt, r.subject) for r in requests for p in self.prefixes]
        keys, states = self.read(model, layer, texts)
        return self.mean_key(keys.view(len(requests), len(self.prefixes), -1)), states[:: len(self.prefixes)]


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + REQUESTS_TOGETHER] for start in range(0, len(items), REQUESTS_TOGETHER)]
