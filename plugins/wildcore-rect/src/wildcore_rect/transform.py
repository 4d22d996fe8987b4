"""Relative change in weight (Gu et al., EMNLP 2024, section 5).

With delta_ij = |dW_ij / W_ij|, entries of dW among the k % with the largest delta stay as they are, and the others become 0.
"""

from torch import Tensor

from wildcore import Transform
from wildcore.models import at_least_float32
from wildcore.patches import Dense, LowRank
from wildcore_rect.parameters import RectParams


class Rect(Transform):
    """RECT. A regularised update has full rank, so it is kept as a matrix."""

    def __init__(self, params: RectParams) -> None:
        self.share = params.share

    def update(self, change: LowRank | Dense, weight: Tensor) -> Dense:
        """Return the largest relative changes of ``weight`` [outputs, inputs]."""
        dense = at_least_float32(change.dense())
        kept = largest_relative_changes(dense, weight.to(dense), self.share)
        return Dense(dense.where(kept, dense.new_zeros(())))


def largest_relative_changes(change: Tensor, weight: Tensor, share: float) -> Tensor:
    """Return where ``change`` is among the ``share`` of entries with the largest |change / weight|: true or false, of its shape.

    ``int(entries * (1 - share))`` entries are false, as in published code, but none that is as large as one that is true. A
    change of a weight that is 0 is larger than any of one that is not, and no change is the smallest. What is not a number stays
    true, so that an edit that diverged shows.
    """
    relative = (change / weight).abs().where(change != 0, change.new_zeros(()))
    relative = relative.nan_to_num(nan=float("inf"), posinf=float("inf"))
    left_out = int(relative.numel() * (1 - share))
    return relative >= relative.flatten().kthvalue(left_out + 1).values
