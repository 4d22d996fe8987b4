"""Norm-anchor scaling: the values that closed-form editors write are scaled to a reference norm."""

from collections.abc import Iterable

from wildcore import Offer, Transform, hookimpl, lazy
from wildcore_norm_anchor.parameters import NormAnchorParams

LIU = "Liu et al., Norm Anchors Make Model Edits Last, arXiv 2602.02543"


@hookimpl
def wildcore_transforms() -> Iterable[Offer[Transform]]:
    """Offer ``norm-anchor``."""
    summary = "brings the MLP's part of each value to a reference norm of the unedited model"
    return [Offer("norm-anchor", lazy("wildcore_norm_anchor.transform:NormAnchor"), NormAnchorParams, summary, LIU)]
