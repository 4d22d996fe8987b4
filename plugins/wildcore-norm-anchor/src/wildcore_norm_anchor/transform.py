"""Norm-anchor scaling (Liu et al., arXiv 2602.02543).

A value v is written as rho v / |v|, with rho a reference norm of the unedited model, so that values and the weights that are
edited to bring them about do not drive each other up over many edits.
"""

import torch
from torch import Tensor

from wildcore import Transform
from wildcore_norm_anchor.parameters import NormAnchorParams


class NormAnchor(Transform):
    """NAS."""

    def __init__(self, params: NormAnchorParams) -> None:
        self.params = params

    def value(self, solved: Tensor, original: Tensor) -> Tensor:
        """Return ``solved`` [requests, width], each at its reference norm; a value that is 0 stays so."""
        length, reference = _norms(solved), self._reference(original)
        scaled = solved * reference / length.where(length > 0, torch.ones_like(length))
        if self.params.longest is None:
            return scaled
        return scaled.where(length <= self.params.longest * reference, original)

    def _reference(self, original: Tensor) -> Tensor:
        """Return the reference norm of each request: [requests, 1]."""
        return _norms(original) if self.params.norm is None else original.new_full((len(original), 1), self.params.norm)


def _norms(values: Tensor) -> Tensor:
    norms: Tensor = values.norm(dim=-1, keepdim=True)
    return norms
