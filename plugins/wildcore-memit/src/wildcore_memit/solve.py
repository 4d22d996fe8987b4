"""The least-squares solve of MEMIT, in float64.

With K the keys [inputs, n], C the second moments and lambda their weight, the update R K^T (lambda C + K K^T)^-1 has the right
factor (lambda C + K K^T)^-1 K (Meng et al. 2023, equation 14). By Woodbury's identity this is T (I + K^T T)^-1 with
T = (lambda C)^-1 K, so that C is factorised once for all edits.
"""

import torch
from torch import Tensor
from wildcore_keyvalue.moments import MomentSolver, widened


def written_together(keys: Tensor, solver: MomentSolver | None, weight: float) -> Tensor:
    """Return (weight C + K K^T)^-1 K [inputs, n] in float32, for keys [inputs, n] of one edit; no solver: C is the identity."""
    thin, wide = _thin(keys, solver, weight)
    small = torch.eye(keys.shape[1], dtype=wide.dtype, device=wide.device) + wide.T @ thin
    right: Tensor = torch.linalg.solve(small, thin, left=False)
    return right.float().to(keys.device)


def written_alone(keys: Tensor, solver: MomentSolver | None, weight: float) -> Tensor:
    """Return (weight C + k k^T)^-1 k for each column k of keys [inputs, n], each an edit of its own; float32."""
    thin, wide = _thin(keys, solver, weight)
    return (thin / (1 + (wide * thin).sum(0))).float().to(keys.device)


def _thin(keys: Tensor, solver: MomentSolver | None, weight: float) -> tuple[Tensor, Tensor]:
    """Return (weight C)^-1 K and K, both in float64."""
    wide = widened(keys)
    return (wide if solver is None else solver.solve(wide)) / weight, wide
