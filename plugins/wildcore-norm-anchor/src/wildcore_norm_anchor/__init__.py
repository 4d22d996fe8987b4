"""Norm-anchor scaling: the values that closed-form editors write are brought to a reference norm."""

from collections.abc import Iterable
from typing import Any

from wildcore import Offer, Transform, hookimpl
from wildcore_norm_anchor.parameters import NormAnchorParams

LIU = "Liu et al., Norm Anchors Make Model Edits Last, arXiv 2602.02543"


def _norm_anchor(params: NormAnchorParams) -> Transform:
    from wildcore_norm_anchor.transform import NormAnchor

    return NormAnchor(params)


@hookimpl
def wildcore_transforms() -> Iterable[Offer[Any]]:
    """Offer ``norm-anchor``."""
    summary = "brings the MLP's part of each value to a reference norm of the unedited model"
    return [Offer("norm-anchor", _norm_anchor, NormAnchorParams, summary, LIU)]
