"""The solve of AlphaEdit, in float64.

With P the projection onto the null space of ordinary keys, K the new keys, K_p those of earlier edits and c the weight of the
update's size, the update R K^T P (K_p K_p^T P + K K^T P + c I)^-1 (Fang et al., ICLR 2025) has the right factor
(P (K_p K_p^T + K K^T) + c I)^-1 P K. With A = [K_p, K] this equals the columns of P A (A^T P A + c I)^-1 that belong to K, whose
solve is only as large as the number of keys.
"""

import torch
from torch import Tensor

from wildcore.models import wide_dtype
from wildcore_alphaedit.null_space import NullSpace


def written_together(keys: Tensor, earlier: Tensor, null_space: NullSpace, penalty: float) -> Tensor:
    """Return the right factor [inputs, n], of the keys' dtype, for keys [inputs, n] of one edit.

    ``earlier`` [inputs, m] are the keys of the edits before it.
    """
    projected = null_space.projected(torch.cat([earlier.to(keys), keys], dim=1))
    small = projected.T @ projected
    small.diagonal().add_(penalty)
    own = torch.eye(len(small), dtype=small.dtype, device=small.device)[:, earlier.shape[1] :]
    right: Tensor = projected @ torch.linalg.solve(small, own)
    return right.to(keys.device, wide_dtype(keys.dtype))


def written_alone(keys: Tensor, null_space: NullSpace, penalty: float) -> Tensor:
    """Return the right factor for each column of keys [inputs, n], each an edit of its own without earlier edits."""
    projected = null_space.projected(keys)
    right = projected / (penalty + projected.square().sum(0))
    return right.to(keys.device, wide_dtype(keys.dtype))


def united(earlier: Tensor, keys: Tensor) -> Tensor:
    """Return keys A that represent ``earlier`` [inputs, m] and ``keys`` [inputs, n] together: A A^T is the sum of theirs.

    A never has more columns than inputs.
    """
    both = torch.cat([earlier.to(keys), keys], dim=1)
    if both.shape[1] <= both.shape[0]:
        return both
    triangle: Tensor = torch.linalg.qr(both.T, mode="r").R
    return triangle.T.contiguous()
