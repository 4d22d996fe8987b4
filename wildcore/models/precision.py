"""The dtype for computations on a model's numbers: float32 for a model in half precision, else the model's own."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return ``tensor`` unchanged if it is float64, else in float32."""
    return tensor.to(wide_dtype(tensor.dtype))


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return float64 for float64, else float32."""
    return torch.float64 if dtype is torch.float64 else torch.float32
