"""Transforms applied by closed-form editors: to the values before they are written, and to a layer's update."""

from collections.abc import Sequence

from torch import Tensor

from wildcore import Transform
from wildcore.patches import Dense, LowRank


def transformed_values(transforms: Sequence[Transform], solved: Tensor, original: Tensor) -> Tensor:
    """Return the values to write [requests, width] for those ``solved``, where the model has ``original``."""
    for transform in transforms:
        solved = transform.value(solved, original)
    return solved


def transformed_update(transforms: Sequence[Transform], change: LowRank | Dense, weight: Tensor) -> LowRank | Dense:
    """Return the change to make to ``weight`` [outputs, inputs] for the one solved for."""
    for transform in transforms:
        change = transform.update(change, weight)
    return change
