"""Fine-tuning of one MLP output projection.

Both methods minimise the negative log-probability of the target with Adam; all other weights are frozen. FT-M predicts each
target token at the position before it. FT-L predicts all of them at the prompt's last position, which can succeed only for
targets of one token.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from torch import Tensor
from wildcore_training.asking import Asked, ask_in_place
from wildcore_training.recording import record_losses
from wildcore_training.side_by_side import Losses, Schedule, train

from wildcore import NO_PROGRESS, Editor, EditRequest, Environment, Patch, Progress, Refused, Trace, map_or_refuse
from wildcore.inference import GraphedSteps
from wildcore.models import LoadedModel, TokenisedPair, training_pair
from wildcore.patches import Dense, WeightPatch
from wildcore_ft.asking import ask_of_last_position
from wildcore_ft.parameters import FineTuningParams, FTLParams


class FineTuning(Editor, ABC):
    """Adam on one weight until the loss is small, with an optional bound on the change of every single weight."""

    def __init__(self, params: FineTuningParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.trace: Trace | None = None
        self.graphs = GraphedSteps()
        self.progress: Progress = NO_PROGRESS
        self.schedule = Schedule(
            params.steps, params.learning_rate, params.weight_decay, params.loss_threshold, params.norm_constraint
        )

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or without any token before it."""
        self._asked(model, request)

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Store where to show steps, and the trace, if one was asked for."""
        self.trace, self.progress = environment.trace, environment.progress

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the change made by training on all ``requests`` together."""
        asked = [self._asked(model, request) for request in requests]
        losses: Losses = []
        (change,) = train(model, self.layer, [asked], self.schedule, losses, self.graphs, self.progress)
        record_losses(self.trace, requests, losses * len(requests))
        return self._patch(model, change)

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return for each request the change made by training on it alone; all are trained in one batch."""
        asked = map_or_refuse(partial(self._asked, model), requests)
        groups = [[one] for one in asked if isinstance(one, Asked)]
        losses: Losses = []
        changes = iter(train(model, self.layer, groups, self.schedule, losses, self.graphs, self.progress))
        trained = [request for request, one in zip(requests, asked, strict=True) if isinstance(one, Asked)]
        record_losses(self.trace, trained, losses)
        return [one if isinstance(one, Refused) else self._patch(model, next(changes)) for one in asked]

    def _asked(self, model: LoadedModel, request: EditRequest) -> Asked:
        row = training_pair(model, request, self.params.close_target)
        return self.ask(row, model.tokenizer.bos_token_id)

    @abstractmethod
    def ask(self, row: TokenisedPair, beginning: int | None) -> Asked:
        """Return the positions that predict the target's tokens; ``beginning`` is the tokenizer's beginning-of-sequence token."""

    def _patch(self, model: LoadedModel, change: Tensor) -> WeightPatch:
        return WeightPatch({model.mlp_output(self.layer).name: Dense(change)})


class FTM(FineTuning):
    """FT-M: each target token is predicted at the position before it."""

    def ask(self, row: TokenisedPair, beginning: int | None) -> Asked:
        """Predict each token at the position before it."""
        return ask_in_place(row)


class FTL(FineTuning):
    """FT-L: all target tokens are predicted at the prompt's last position."""

    def __init__(self, params: FTLParams) -> None:
        super().__init__(params)
        self.asks_beginning = params.train_beginning_of_sequence

    def ask(self, row: TokenisedPair, beginning: int | None) -> Asked:
        """Predict all tokens at the last position, as in published code also the beginning-of-sequence token."""
        return ask_of_last_position(row, beginning, self.asks_beginning)
