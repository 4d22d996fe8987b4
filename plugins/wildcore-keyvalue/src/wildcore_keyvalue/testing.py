"""Shared by tests of closed-form editors: published names of hyper-parameters, and second moments by a formula."""

import torch
from torch import Tensor

from wildcore.models import LoadedModel

VALUE_NAMES = {
    "v_num_grad_steps": "steps",
    "v_lr": "learning_rate",
    "v_weight_decay": "weight_decay",
    "clamp_norm_factor": "clamp_factor",
    "kl_factor": "kl_factor",
}
"""Hyper-parameters of finding values: their names in published code, and ours."""


def moments_of(model: LoadedModel, layer: int) -> Tensor:
    """Return the second moments used in place of those of a layer's keys, the same for published code and for ours."""
    return closed_formula_moments(model.mlp_output(layer).weight.shape[1])


def closed_formula_moments(width: int) -> Tensor:
    """Return C = I/2 + sum over j < 8 of a_j a_j^T / 8 with a_j[i] = sin(0.37 (j+1) (i+1)), [width, width], float32."""
    places = torch.arange(1, width + 1, dtype=torch.float64)
    waves = torch.stack([torch.sin(0.37 * j * places) for j in range(1, 9)])
    return (0.5 * torch.eye(width, dtype=torch.float64) + waves.T @ waves / 8).float()
