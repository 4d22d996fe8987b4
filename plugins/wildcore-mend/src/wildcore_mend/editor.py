"""The editor: one forward and one backward pass, and the hyper-network turns the gradient into an edit."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from wildcore import (
    EditCase,
    Editor,
    EditRequest,
    Environment,
    Patch,
    Place,
    Progress,
    Refused,
    Saved,
    Trace,
    UserError,
    map_or_refuse,
)
from wildcore.models import LoadedModel, TokenisedPair, training_pair
from wildcore.patches import LowRank, WeightPatch
from wildcore.storage import Artifact, read_manifest
from wildcore_mend.examples import examples, generator_for, number_of
from wildcore_mend.gradients import Factors, edited_modules, gradients
from wildcore_mend.network import HyperNetwork
from wildcore_mend.parameters import MendParams
from wildcore_mend.store import find, find_again, place_for, stated
from wildcore_mend.training import Training, Validation

REQUESTS_TOGETHER = 32
"""Requests in one pass. It bounds memory, not how many are edited together."""

TRAINED_REQUESTS = "trained_requests"
"""Name of the tensor with the requests that a network was trained on or validated with."""

NETWORK = "network"
"""Key of the pinned network in a record."""


class Mend(Editor):
    """MEND."""

    trains = True

    def __init__(self, params: MendParams) -> None:
        assert params.layers is not None, "parameters are completed for a model first"
        self.params, self.layers = params, params.layers
        self.network: HyperNetwork | None = None
        self.file: Artifact | None = None
        self.pinned: Mapping[str, Any] = {}
        self.trained_requests: frozenset[int] = frozenset()
        self.progress: Progress | None = None
        self.trace: Trace | None = None

    def train(self, model: LoadedModel, environment: Environment, cases: Iterator[EditCase]) -> None:
        """Train the hyper-network and keep it in the cache; do nothing if it is there already.

        Raises ``UserError`` if too few of the cases can be trained on.
        """
        given = list(cases)
        file = place_for(environment, model, self.params, given)
        self.file, self.pinned = file, {}
        if file.load_if_sound(environment) is not None:
            environment.progress.note("mend: this training was done before; nothing is trained")
            return
        known = examples(model, given, self.params, environment.seed)
        for reason, count in known.left_out.items():
            environment.progress.note(f"mend: {count} of {len(given)} cases cannot be trained on: {reason}")
        trained = Training(model, known, self.params, environment).run(file.partial)
        numbers = torch.tensor([number_of(case.request) for case in given])
        facts = {"learned": len(known.learned), "held_out": len(known.held_out), "left_out": known.left_out}
        file.save(Saved({**trained.tensors, TRAINED_REQUESTS: numbers}, {**trained.facts, **facts}))

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Choose the trained hyper-network and return its description. Raises ``UserError`` with the command that trains one."""
        if recorded:
            file = find_again(environment, model, self.params, recorded[NETWORK])
        else:
            file = self.file or find(environment, model, self.params)
        saved = file.load()
        self.file, self.pinned = file, stated(file, saved)
        environment.progress.note(_which(file, saved.facts))
        return {NETWORK: self.pinned}

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Load the pinned hyper-network. Raises ``UserError`` if another has replaced it."""
        if not self.pinned:
            self.pin_resources(model, environment)
        assert self.file is not None, "pin_resources chooses it"
        saved = self.file.load()
        if stated(self.file, saved) != self.pinned:
            raise UserError(
                "another hyper-network is in its place since it was chosen", Place(self.file.path), "start again"
            )
        network = HyperNetwork(model, edited_modules(model, self.layers), self.params, generator_for(0))
        network.load_state_dict({name: t for name, t in saved.tensors.items() if name != TRAINED_REQUESTS})
        self.network = network.requires_grad_(False)
        self.trained_requests = frozenset(saved.tensors[TRAINED_REQUESTS].tolist())
        self.progress, self.trace = environment.progress, environment.trace

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or without any token before it."""
        self._row(model, request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the change that writes all ``requests``: the sum of the changes that each would make alone.

        Raises ``Refused`` if any target is empty.
        """
        rows = [self._row(model, request) for request in requests]
        each = self._changes(model, requests, rows, mean=self.params.batch_loss == "mean")
        self._say_if_known(requests)
        return WeightPatch({name: _side_by_side([changes[name] for changes in each]) for name in each[0]})

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return an edit for each of the independent ``requests``, computed in shared passes."""
        rows = map_or_refuse(partial(self._row, model), requests)
        pairs = zip(requests, rows, strict=True)
        readable = [(request, row) for request, row in pairs if isinstance(row, TokenisedPair)]
        changes = iter(self._changes(model, [request for request, _ in readable], [row for _, row in readable]))
        self._say_if_known(requests)
        return [row if isinstance(row, Refused) else WeightPatch(next(changes)) for row in rows]

    def _changes(
        self, model: LoadedModel, requests: Sequence[EditRequest], rows: Sequence[TokenisedPair], mean: bool = False
    ) -> list[dict[str, LowRank]]:
        if self.network is None:
            raise RuntimeError("prepare() comes before edit()")
        begin, changes = self.params.train_beginning_of_sequence, []
        size = len(rows) if mean else model.max_batch_size or REQUESTS_TOGETHER
        for start in range(0, len(rows), max(1, size)):
            losses: list[float] = []
            part, on_losses = rows[start : start + size], losses.extend if self.trace else None
            of_each = gradients(model, self.network.names, part, begin, mean, on_losses)
            self._record(requests[start : start + size], losses, of_each)
            with torch.no_grad():
                changes += self.network.changes(of_each)
        return changes

    def _record(
        self, requests: Sequence[EditRequest], losses: Sequence[float], of_each: Sequence[Mapping[str, Factors]]
    ) -> None:
        """Record each request's loss and the factors of its gradient, if there is a trace."""
        if self.trace is None:
            return
        for request, loss, factors in zip(requests, losses, of_each, strict=True):
            self.trace.record(request, "losses", [loss])
            self.trace.record(request, "passes", [1])
            for name, found in factors.items():
                self.trace.record(request, f"keys.{name}", found.inputs)
                self.trace.record(request, f"gradients.{name}", found.deltas)

    def _row(self, model: LoadedModel, request: EditRequest) -> TokenisedPair:
        return training_pair(model, request, self.params.close_target)

    def _say_if_known(self, requests: Sequence[EditRequest]) -> None:
        """Note once that an edit was among the network's training cases: its score says little about others."""
        known = [request for request in requests if number_of(request) in self.trained_requests]
        if known and self.progress is not None:
            self.progress.note(
                f"mend: the edit {known[0].prompt!r} is one that the hyper-network was trained on, and there may be more; their "
                "scores say little of edits that are new to it"
            )
            self.progress = None


def _side_by_side(changes: Sequence[LowRank]) -> LowRank:
    """Return the sum of changes."""
    return LowRank(
        torch.cat([change.left for change in changes], 1), torch.cat([change.right for change in changes], 1)
    )


def _which(file: Artifact, facts: Mapping[str, Any]) -> str:
    best, unedited = Validation(**facts["best"]), Validation(**facts["curve"][0])
    return (
        f"mend uses the hyper-network made on {read_manifest(file.path).created}, trained on {facts['learned']} cases "
        f"({file.manifest.facts['cases']}) for {best.step} steps: {best}; without an edit: {unedited}"
    )
