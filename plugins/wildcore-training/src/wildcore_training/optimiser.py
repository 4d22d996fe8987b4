"""Adam, as used by every editor that trains."""

from collections.abc import Sequence

import torch
from torch import Tensor

FUSED = ("cpu", "cuda")
"""Devices on which Adam runs as one kernel, without temporaries of the weight's size, in every supported version of torch."""


def adam(weights: Sequence[Tensor], learning_rate: float, weight_decay: float) -> torch.optim.Adam:
    """Return Adam over ``weights``, which are on one kind of device."""
    fused = True if weights[0].device.type in FUSED else None
    return torch.optim.Adam(list(weights), lr=learning_rate, weight_decay=weight_decay, fused=fused)
