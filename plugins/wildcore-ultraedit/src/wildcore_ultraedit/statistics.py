"""Lifelong normalisation: features are normalised by the mean and deviation of the features of all edits so far.

Linear maps of the same shape share their statistics, to which one batch of one map is added after another.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wildcore import Saved
from wildcore_ultraedit.features import Features

EPSILON = torch.finfo(torch.float32).eps
"""Added to each deviation, as in the published code."""

Shape = tuple[int, int]
"""Inputs and outputs of a linear map."""


@dataclass(frozen=True)
class Running:
    """The statistics of the features of ``count`` tokens: mean and sum of squares about it, both [features], float64."""

    count: int
    mean: Tensor
    squares: Tensor

    def including(self, features: Tensor, sample_variance: bool) -> "Running":
        """Return the statistics with those of ``features`` [tokens, features] added.

        ``sample_variance`` multiplies a batch's own squares by n / (n - 1), with n the number of its tokens.
        """
        added = len(features)
        mean = features.mean(0)
        squares = (features - mean).square().sum(0) * (added / max(added - 1, 1) if sample_variance else 1)
        count, apart = self.count + added, mean - self.mean.to(mean)
        between = apart.square() * (self.count * added / count)
        return Running(count, self.mean.to(mean) + apart * (added / count), self.squares.to(mean) + squares + between)

    def normalised(self, features: Tensor) -> Tensor:
        """Return ``features`` [tokens, features] minus the mean, divided by the deviation. Needs statistics of at least two
        tokens.
        """
        deviation = (self.squares / (self.count - 1)).sqrt()
        return (features - self.mean.to(features)) / (deviation.to(features) + EPSILON)


Statistics = Mapping[Shape, Running]


def shape_of(features: Features) -> Shape:
    """Return the shape of the linear map of ``features``."""
    return features.hidden.shape[1], features.gradients.shape[1]


def including(statistics: Statistics, features: Mapping[str, Features], sample_variance: bool) -> Statistics:
    """Return ``statistics`` with one batch's features, by linear map, added."""
    grown = dict(statistics)
    for of_map in features.values():
        read = widened(of_map.joined)
        nothing = read.new_zeros(read.shape[1])
        before = grown.get(shape_of(of_map), Running(0, nothing, nothing))
        grown[shape_of(of_map)] = before.including(read, sample_variance)
    return grown


def saved(statistics: Statistics) -> Saved:
    """Return the statistics in the form of a file's content."""
    tensors: dict[str, Tensor] = {}
    for shape, running in statistics.items():
        tensors |= {f"{_name(shape)}:mean": running.mean, f"{_name(shape)}:squares": running.squares}
    return Saved(tensors, {"counts": {_name(shape): running.count for shape, running in statistics.items()}})


def restored(state: Saved) -> Statistics:
    """Return the statistics that ``saved`` gave."""
    return {
        _shape(name): Running(count, state.tensors[f"{name}:mean"], state.tensors[f"{name}:squares"])
        for name, count in state.facts["counts"].items()
    }


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, on the CPU if its device does not support it."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def _name(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"


def _shape(name: str) -> Shape:
    inputs, outputs = name.split("x")
    return int(inputs), int(outputs)
