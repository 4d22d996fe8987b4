"""Imitates CUDA graphs on any device, so that everything about captured steps but the capture itself can be tested."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from wildcore.inference import graphed_steps
from wildcore.models.loaded import LoadedModel


class ImitatedGraph:
    """Fills the captured results by computing them anew, from the tensors as they are at the time."""

    def __init__(self, compute: Callable[[], tuple[Tensor, ...]], results: tuple[Tensor, ...]) -> None:
        self.compute, self.results = compute, results
        self.replays = 0

    def replay(self) -> None:
        """Fill the results."""
        self.replays += 1
        with torch.enable_grad():
            computed = self.compute()
        for there, here in zip(self.results, computed, strict=True):
            there.copy_(here)


@contextmanager
def imitated_graphs(model: LoadedModel) -> Iterator[list[ImitatedGraph]]:
    """Capture optimisation steps of ``model`` in this context by imitation; yield the graphs captured so far.

    A capture changes no tensor, and its results hold no numbers before the first replay.
    """
    graphs: list[ImitatedGraph] = []

    def imitated(compute: Any, device: torch.device) -> tuple[ImitatedGraph, tuple[Tensor, ...]]:
        tensors = compute.__self__.tensors()
        before = [tensor.detach().clone() for tensor in tensors]
        results = tuple(torch.zeros_like(result) for result in compute())
        with torch.no_grad():
            for tensor, values in zip(tensors, before, strict=True):
                tensor.copy_(values)
        graphs.append(ImitatedGraph(compute, results))
        return graphs[-1], results

    wanted = model.use_cuda_graphs
    model.use_cuda_graphs = True
    try:
        with (
            patch.object(graphed_steps, "capture", imitated),
            patch.object(graphed_steps, "can_capture", lambda _: True),
        ):
            yield graphs
    finally:
        model.use_cuda_graphs = wanted
