"""LoRA as an editor: adapters are trained on the requests, and the patch is what they add to the weights."""

from collections.abc import Sequence

from wildcore import NO_PROGRESS, Editor, EditRequest, Environment, Progress, Trace
from wildcore.models import LoadedModel, TokenisedPair, training_pair
from wildcore.patches import WeightPatch
from wildcore_lora.adapters import adapters
from wildcore_lora.modules import adapted_modules
from wildcore_lora.parameters import LoraParams
from wildcore_lora.training import drawing, train


class Lora(Editor):
    """Adam on low-rank adapters; all other weights are frozen (Hu et al. 2022, section 4.1)."""

    def __init__(self, params: LoraParams) -> None:
        self.params = params
        self.seed = 0
        self.trace: Trace | None = None
        self.progress: Progress = NO_PROGRESS

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Store the seed and where to show steps. Raises ``UserError`` if the model lacks a module that ``modules`` names."""
        self.seed, self.trace, self.progress = environment.seed, environment.trace, environment.progress
        self._modules(model)

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or without any token before it."""
        self._row(model, request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return what the adapters add to the weights after training on all ``requests`` together.

        Raises ``Refused`` for a request without a target, or without any token before it.
        """
        rows = [self._row(model, request) for request in requests]
        with drawing(self.seed), adapters(model, self._modules(model), self.params) as added:
            weights = [weight for adapter in added.values() for weight in (adapter.a, adapter.b)]
            losses = train(model, rows, weights, self.params, self.progress)
            if self.trace is not None:
                for request in requests:
                    self.trace.record(request, "losses", losses)
                    self.trace.record(request, "passes", [len(losses)])
            return WeightPatch({name: adapter.change() for name, adapter in added.items()})

    def _row(self, model: LoadedModel, request: EditRequest) -> TokenisedPair:
        return training_pair(model, request, self.params.close_target)

    def _modules(self, model: LoadedModel) -> tuple[str, ...]:
        layers = range(len(model.layers)) if self.params.layers is None else self.params.layers
        return adapted_modules(model.family, layers, self.params.modules)
