"""Decoding steps without Python overhead: captured once as a CUDA graph, then launched as one.

The device takes less time for a step of a small batch than Python takes to launch its kernels. A graph needs every tensor at
the same address in every step. So keys and values are stored in buffers of their final length, the mask says how far they are
filled, and the position of the next token is counted on the device.
"""

import warnings
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from wildcore.models.loaded import BatchInfo, LoadedModel

T = TypeVar("T")


class StaticCacheLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """The cache of one layer in buffers [rows, heads, length, width], written at ``place`` [1]."""

    def __init__(self, layer: Any, length: int, place: Tensor) -> None:
        super().__init__()
        self.is_initialized = True
        self.dtype, self.device = layer.keys.dtype, layer.keys.device
        more = length - layer.keys.shape[-2]
        self.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, more))
        self.values = torch.nn.functional.pad(layer.values, (0, 0, 0, more))
        self.place = place.to(self.device)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write the keys and values of one token, and return all of them."""
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        return self.keys, self.values

    def cut_to(self, layer: Any, length: int) -> Any:
        """Return a growing layer like ``layer`` with the first ``length`` tokens."""
        grown = copy(layer)
        grown.keys, grown.values = self.keys[:, :, :length].clone(), self.values[:, :, :length].clone()
        return grown


class GraphedDecoder:
    """The next steps of a batch: at most ``steps``, the same rows in each."""

    def __init__(
        self,
        model: LoadedModel,
        cache: Any,
        mask: Tensor,
        ids: Tensor,
        positions: Tensor,
        steps: int,
        rows: Sequence[int],
    ) -> None:
        """Take over a batch. The arguments are those of ``LoadedModel.forward``; ``ids`` [rows, 1] are read in the first step."""
        self.model, self._growing, self._rows = model, cache, rows
        self.prefilled, self.steps_done = mask.shape[1], 0
        self.mask, self.ids, self.positions = mask, ids.clone(), positions.clone()
        self._place = torch.tensor([self.prefilled], device=ids.device)
        self._cache = copy(cache)
        self._cache.layers = [StaticCacheLayer(layer, self.prefilled + steps, self._place) for layer in cache.layers]
        self._bias = self._masked(steps)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits: Tensor | None = None
        self.captured = model.device.type != "cuda"
        """Whether nothing is left to capture: the step is captured already, or CUDA graphs are not available."""

    def _masked(self, steps: int) -> Tensor:
        """Return the mask added to attention scores [rows, 1, 1, prefilled + steps]: zero at real tokens, very
        negative elsewhere.
        """
        lowest = torch.finfo(self.model.dtype).min
        real = torch.nn.functional.pad(self.mask, (0, steps))
        bias = torch.zeros(real.shape, dtype=self.model.dtype, device=real.device)
        return bias.masked_fill_(real == 0, lowest)[:, None, None, :]

    def step(self) -> Tensor:
        """Read ``ids`` and return the logits of the next token [rows, vocabulary]; overwritten by the next step."""
        self.steps_done += 1
        if self._graph is not None:
            self._graph.replay()
        elif self.steps_done == 1 or self.captured:
            self._logits = self._read()
        else:
            self._capture()
            if self._graph is not None:
                self._graph.replay()
            else:
                self._logits = self._read()
        assert self._logits is not None
        return self._logits

    def set_next_tokens(self, chosen: Tensor) -> None:
        """Set ``chosen`` [rows] as the input of the next step."""
        self.ids.copy_(chosen[:, None])

    def _read(self) -> Tensor:
        self.model.notify(BatchInfo(self._rows))
        return self._compute()

    def _capture(self) -> None:
        """Capture the step. After one ordinary run a step needs nothing from the host, unless the architecture is unusual."""
        self.captured = True
        try:
            self._graph, self._logits = capture(self._compute, self.model.device)
        except RuntimeError as error:
            self.model.warn(f"decoding steps could not be captured as a CUDA graph, so they are slower ({error})")
            self.model.use_cuda_graphs = False

    def _compute(self) -> Tensor:
        self._bias.index_fill_(3, self._place, 0)
        inputs = {"input_ids": self.ids, "attention_mask": self._bias, "position_ids": self.positions}
        inputs[self.model.cache_name] = self._cache
        logits: Tensor = self.model.network(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]
        self._place.add_(1)
        self.positions.add_(1)
        if self.model.max_length is not None:
            self.positions.clamp_(max=self.model.max_length - 1)
        return logits

    def cache(self) -> Any:
        """Return a growing cache with everything that was read."""
        grown = copy(self._growing)
        pairs = zip(self._cache.layers, self._growing.layers, strict=True)
        grown.layers = [fixed.cut_to(layer, self.prefilled + self.steps_done) for fixed, layer in pairs]
        return grown

    def mask_of_all(self) -> Tensor:
        """Return the mask of everything that was read: [rows, tokens]."""
        return torch.nn.functional.pad(self.mask, (0, self.steps_done), value=1)


def can_use_graph(model: LoadedModel, cache: Any) -> bool:
    """Return whether steps with ``cache`` should be taken this way: it must pay, and no listener may need to know of every
    batch.
    """
    plain = all(type(layer) is DynamicLayer for layer in cache.layers)
    return wants_graphs(model) and plain and all(listener.allows_cuda_graph for listener in model.listeners)


def wants_graphs(model: LoadedModel) -> bool:
    """Return whether steps of ``model`` should be captured, or carried out as if they were: see ``use_cuda_graphs``.

    By default those of a model whose weights are all on one CUDA device: a graph holds the work of one device.
    """
    if model.use_cuda_graphs is not None:
        return model.use_cuda_graphs
    return model.device.type == "cuda" and is_on_one_device(model.network)


def is_on_one_device(network: torch.nn.Module) -> bool:
    """Return whether all weights and buffers are on one device."""
    return len({tensor.device for tensor in (*network.parameters(), *network.buffers())}) == 1


def capture(compute: Callable[[], T], device: torch.device) -> tuple[torch.cuda.CUDAGraph, T]:
    """Return a graph of what ``compute`` launches on ``device``, and its result, which each replay of the graph fills.

    ``compute`` must have run before. Raises ``RuntimeError`` if it cannot be captured, also if memory runs out, or if nothing
    was captured.
    """
    with torch.cuda.device(device), warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*CUDA Graph is empty")
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # a stream of this device: torch's own for captures is on the device of the process's first capture, and work on
            # another device would not become part of the graph
            with torch.cuda.graph(graph, stream=torch.cuda.Stream()):  # type: ignore[no-untyped-call]
                result = compute()
        except Warning as empty:
            raise RuntimeError("nothing was captured") from empty
        finally:
            torch.cuda.set_stream(stream)  # a capture that fails leaves its own stream behind
    return graph, result
