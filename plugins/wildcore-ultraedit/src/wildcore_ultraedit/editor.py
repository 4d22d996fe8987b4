"""UltraEdit.

One forward and one backward pass give the hidden states and gradients of a batch of facts at the edited linear maps; both are
normalised by running statistics, the editor's state, and one least-squares solve for each map writes them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

from torch import nn
from transformers.pytorch_utils import Conv1D

from wildcore import Editor, EditRequest, Environment, Parameter, Patch, Refused, Saved, Trace, UserError, map_or_refuse
from wildcore.models import LoadedModel, TokenisedPair, training_pair
from wildcore.patches import WeightPatch
from wildcore_ultraedit.features import Features, joined, read_features
from wildcore_ultraedit.parameters import UltraEditParams
from wildcore_ultraedit.solve import update
from wildcore_ultraedit.statistics import Statistics, including, restored, saved, shape_of

REQUESTS_TOGETHER = 32
"""Number of independent requests that are read in one batch."""


class UltraEdit(Editor):
    """UltraEdit; its state is the running statistics of features."""

    def __init__(self, params: UltraEditParams) -> None:
        assert params.learning_rate is not None, "parameters are completed for a model first"
        self.params, self.learning_rate = params, params.learning_rate
        self.statistics: Statistics = {}
        self.trace: Trace | None = None

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Take the trace, if one was asked for. Raise ``UserError`` if a module to edit does not exist."""
        self.trace = environment.trace
        self._names(model)

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or without any token before it."""
        self._row(model, request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the update that writes all ``requests``, and add their features to the statistics.

        Raises ``Refused`` if any has no target, or if the statistics would be of one token only.
        """
        rows = [(request, self._row(model, request)) for request in requests]
        rows.sort(key=lambda pair: -len(pair[1].token_ids))
        size = self.params.batch_size
        batches = [self._read(model, rows[start : start + size], True) for start in range(0, len(rows), size)]
        patch, self.statistics = self._write(self.statistics, [joined(batch) for batch in batches])
        return patch

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return an update for each of the independent ``requests``; their texts are read together."""
        rows = map_or_refuse(partial(self._row, model), requests)
        pairs = zip(requests, rows, strict=True)
        readable = [(request, row) for request, row in pairs if isinstance(row, TokenisedPair)]
        parts = [readable[start : start + REQUESTS_TOGETHER] for start in range(0, len(readable), REQUESTS_TOGETHER)]
        written = iter(
            map_or_refuse(self._alone, chain.from_iterable(self._read(model, part, False) for part in parts))
        )
        return [row if isinstance(row, Refused) else next(written) for row in rows]

    def reset(self) -> None:
        """Clear the statistics."""
        self.statistics = {}

    @property
    def state(self) -> Saved:
        """The statistics of all edits since ``reset``."""
        return saved(self.statistics)

    def restore(self, state: Saved) -> None:
        """Set the statistics from ``state``."""
        self.statistics = restored(state)

    def _read(
        self, model: LoadedModel, pairs: Sequence[tuple[EditRequest, TokenisedPair]], together: bool
    ) -> list[dict[str, Features]]:
        """Return each row's features, and record them with its loss if there is a trace."""
        losses: list[float] = []
        every_token, on_losses = self.params.tokens == "all", losses.extend if self.trace else None
        rows = [row for _, row in pairs]
        read = read_features(model, self._names(model), rows, every_token, together, on_losses)
        if self.trace is not None:
            for (request, _), loss, features in zip(pairs, losses, read, strict=True):
                self.trace.record(request, "losses", [loss])
                self.trace.record(request, "passes", [1])
                for name, found in features.items():
                    self.trace.record(request, f"keys.{name}", found.hidden)
                    self.trace.record(request, f"gradients.{name}", found.gradients)
        return read

    def _alone(self, features: Mapping[str, Features]) -> WeightPatch:
        return self._write({}, [features])[0]

    def _write(
        self, statistics: Statistics, batches: Sequence[Mapping[str, Features]]
    ) -> tuple[WeightPatch, Statistics]:
        """Return the update that writes ``batches``, and the statistics used for it, which include theirs."""
        for batch in batches:
            statistics = including(statistics, batch, self.params.batch_variance == "sample")
        if min(running.count for running in statistics.values()) < 2:
            raise Refused(
                "its target is one token, and no edit came before: there is nothing to normalise the token's features by; "
                "edit several facts together, or set editor.close_target=end-of-sequence"
            )
        changes = {
            name: update(features, statistics[shape_of(features)], self.learning_rate)
            for name, features in joined(batches).items()
        }
        return WeightPatch(changes), statistics

    def _row(self, model: LoadedModel, request: EditRequest) -> TokenisedPair:
        return training_pair(model, request, self.params.close_target)

    def _names(self, model: LoadedModel) -> list[str]:
        """Return the names of the linear maps to edit. Raises ``UserError`` for one that the model does not have."""
        last, modules = self.params.layer, dict(model.network.named_modules())
        if self.params.modules is None:
            assert last is not None, "parameters are completed for a model first"
            return [model.mlp_output(i).name for i in range(max(0, last - self.params.layer_count + 1), last + 1)]
        for name in self.params.modules:
            if not isinstance(modules.get(name), nn.Linear | Conv1D):
                there = model.mlp_output(0).name
                raise UserError(
                    f"{name!r} is no linear map of this model; there is, for one, {there}", Parameter("editor.modules")
                )
        return list(self.params.modules)
