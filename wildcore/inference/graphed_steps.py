"""Optimisation steps without Python overhead: captured once as a CUDA graph, then launched as one.

The device takes less time for a step on the texts of one edit than Python takes to launch its kernels. A graph needs every tensor
at the same address, and of the same shape, in every step. So texts are padded to few lengths, and the tensors of an edit are
copied into those of an earlier edit of the same shapes: a step is captured once for many edits.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from wildcore.inference.cuda_graphs import capture, wants_graphs
from wildcore.models.loaded import LoadedModel

MOST_SHAPES = 8
"""Most shapes for which captured steps are kept; the one that was not used for the longest time is dropped first."""
MOST_TOKENS = 2048
"""From this many tokens on, padding included, the device takes longer for a step than Python does."""


class Step(Protocol):
    """A computation on tensors that stay where they are, from a network in evaluation mode."""

    @property
    def settings(self) -> Hashable:
        """Everything that the result depends on besides the model and the tensors."""
        ...

    def tensors(self) -> Sequence[Tensor]:
        """Return all tensors that the computation reads or changes, in an order that depends on ``settings`` alone."""
        ...

    def compute(self) -> tuple[Tensor, ...]:
        """Compute the results. Waits for no result, and reads and copies nothing from the host, after it has run once."""
        ...


S = TypeVar("S", bound=Step)


class GraphedStep(Generic[S]):
    """A step that is carried out many times: on CUDA it is captured after it has run once."""

    def __init__(
        self, step: S, device: torch.device, can_capture: bool, on_failure: Callable[[RuntimeError], None]
    ) -> None:
        self.step, self._device = step, device
        self._awaits_capture, self._on_failure = can_capture, on_failure
        self._graph: torch.cuda.CUDAGraph | None = None
        self._results: tuple[Tensor, ...] | None = None

    def run(self) -> tuple[Tensor, ...]:
        """Carry out the step and return its results; they are overwritten by the next run."""
        if self._awaits_capture and self._results is not None:
            self._capture()
        if self._graph is not None and self._results is not None:
            self._graph.replay()
        else:
            self._results = self.step.compute()
        return self._results

    def _capture(self) -> None:
        self._awaits_capture = False
        try:
            self._graph, self._results = capture(self.step.compute, self._device)
        except RuntimeError as error:
            self._on_failure(error)


class GraphedSteps:
    """The captured steps of one editor, by their settings and shapes.

    They hold for one model. If its weights have moved to other addresses, they are dropped.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, GraphedStep[Step]] = {}
        self._model: LoadedModel | None = None
        self._addresses: tuple[int, ...] = ()
        self._failed = False

    def suit(self, model: LoadedModel, tokens: int) -> bool:
        """Return whether a step on ``tokens`` tokens, padding included, should be carried out this way.

        False also while anything is hooked into the network, such as a patch that routes: it would be captured with the step.
        """
        suitable = wants_graphs(model) and not self._failed and tokens <= MOST_TOKENS
        return suitable and not model.listeners and _is_plain(model.network)

    def load(self, model: LoadedModel, step: S) -> GraphedStep[S]:
        """Return a step with the tensors of ``step``: a kept one of the same shapes into which they are copied, or ``step``."""
        self._require_same(model)
        shapes = tuple((tensor.shape, tensor.stride(), tensor.dtype, tensor.device) for tensor in step.tensors())
        key = (type(step), step.settings, shapes)
        graphed = self._kept.pop(key, None)
        if graphed is None:
            graphed = GraphedStep(step, model.device, can_capture(model), self._give_up)
        else:
            _copy(step.tensors(), graphed.step.tensors())
        self._kept[key] = graphed
        if len(self._kept) > MOST_SHAPES:
            del self._kept[next(iter(self._kept))]
        return graphed  # type: ignore[return-value]  # the key holds the step's type

    def _require_same(self, model: LoadedModel) -> None:
        """Drop all steps if they were captured with another model, or with weights at other addresses."""
        weights = [*model.network.parameters(), *model.network.buffers()]
        addresses = tuple(weight.data_ptr() for weight in weights)
        if self._model is not model or self._addresses != addresses:
            self._kept.clear()
            self._model, self._addresses = model, addresses

    def _give_up(self, error: RuntimeError) -> None:
        assert self._model is not None
        self._failed = True
        self._kept.clear()
        self._model.warn(f"optimisation steps could not be captured as a CUDA graph, so they are slower ({error})")


def can_capture(model: LoadedModel) -> bool:
    """Return whether steps of ``model`` can be captured; if not, they are computed anew each time."""
    return model.device.type == "cuda"


@torch.no_grad()
def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    for here, there in zip(source, target, strict=True):
        there.copy_(here)


def _is_plain(network: nn.Module) -> bool:
    """Return whether no module has a hook, or a forward of its own."""
    return not any(
        module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) for module in network.modules()
    )
