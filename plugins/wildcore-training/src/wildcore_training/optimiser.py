"""Adam, as every editor that trains uses it."""

from collections.abc import Sequence

import torch
from torch import Tensor

FUSED = ("cpu", "cuda")
"""Devices on which Adam runs as one kernel, without temporaries of the weight's size, from the oldest supported torch on."""


def adam(weights: Sequence[Tensor], learning_rate: float, weight_decay: float) -> torch.optim.Adam:
    """Return Adam over ``weights``, which lie on one kind of device."""
    fused = True if weights[0].device.type in FUSED else None
    return torch.optim.Adam(list(weights), lr=learning_rate, weight_decay=weight_decay, fused=fused)
