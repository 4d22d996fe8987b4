"""The solve of EMMET, in float64.

With K the keys [inputs, n], C the second moments and lambda their weight, the right factor of the update is
T (K^T T + ridge I)^-1 with T = (lambda C)^-1 K; without the ridge lambda cancels (Gupta et al., Findings of EMNLP 2024).
"""

import torch
from torch import Tensor
from wildcore_keyvalue.least_squares import weighed
from wildcore_keyvalue.solver import MomentSolver

from wildcore import Parameter, Setting, UserError
from wildcore.models import wide_dtype


def written_together(keys: Tensor, solver: MomentSolver | None, weight: float, ridge: float) -> Tensor:
    """Return the right factor [inputs, n] for keys [inputs, n] of one edit. ``solver`` None: C is the identity.

    A single key is written exactly, without the ridge. Raises ``UserError`` if keys are linearly dependent, so that not all
    values can be written.
    """
    thin, wide = weighed(keys, solver, weight)
    small = wide.T @ thin
    if len(small) > 1:
        small.diagonal().add_(ridge)
    factor, fault = torch.linalg.cholesky_ex(small)
    if int(fault):
        raise UserError(
            "the keys of requests written together depend on each other, so that not all values can be met",
            Parameter("editor.ridge", ridge),
            ("raise it (", Setting("editor.ridge", 0.1), "), or write fewer requests together"),
        )
    right: Tensor = torch.cholesky_solve(thin.T, factor).T
    return right.to(keys.device, wide_dtype(keys.dtype))


def written_alone(keys: Tensor, solver: MomentSolver | None, weight: float) -> Tensor:
    """Return C^-1 k / (k^T C^-1 k) for each column k of keys [inputs, n], each an edit of its own."""
    thin, wide = weighed(keys, solver, weight)
    return (thin / (wide * thin).sum(0)).to(keys.device, wide_dtype(keys.dtype))
