"""Relative change in weight (Gu et al., EMNLP 2024, section 5).

With delta_ij = |dW_ij / W_ij|, the entries of dW among the k % with the largest delta are kept, and the others become 0.
"""

from torch import Tensor

from wildcore import Transform
from wildcore.models import at_least_float32
from wildcore.patches import Dense, LowRank
from wildcore_rect.parameters import RectParams


class Rect(Transform):
    """RECT. The resulting update has full rank, so it is stored as a matrix."""

    def __init__(self, params: RectParams) -> None:
        self.share = params.share

    def update(self, change: LowRank | Dense, weight: Tensor) -> Dense:
        """Return the largest relative changes of ``weight`` [outputs, inputs]."""
        dense = at_least_float32(change.dense())
        kept = largest_relative_changes(dense, weight.to(dense), self.share)
        return Dense(dense.where(kept, dense.new_zeros(())))


def largest_relative_changes(change: Tensor, weight: Tensor, share: float) -> Tensor:
    """Return a mask of ``change``, true for the ``share`` of entries with the largest |change / weight|.

    ``int(entries * (1 - share))`` entries are false, as in published code, except any as large as one that is true. A change
    of a weight that is 0 counts as larger than all others, and no change as the smallest. Entries that are not a number stay
    true, so that a diverged edit is visible.
    """
    relative = (change / weight).abs().where(change != 0, change.new_zeros(()))
    relative = relative.nan_to_num(nan=float("inf"), posinf=float("inf"))
    left_out = int(relative.numel() * (1 - share))
    return relative >= relative.flatten().kthvalue(left_out + 1).values
