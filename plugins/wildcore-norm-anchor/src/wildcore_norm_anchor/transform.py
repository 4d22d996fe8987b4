"""Norm-anchor scaling (Liu et al., arXiv 2602.02543).

A value v, the MLP's intended output, is written as rho v / |v|, with rho a reference norm of the unedited model. So values and
edited weights do not make each other grow over many edits.
"""

from torch import Tensor

from wildcore import Environment, Transform, ValueSolver
from wildcore.models import LoadedModel
from wildcore_norm_anchor.facts import hash_of, read_facts
from wildcore_norm_anchor.parameters import NormAnchorParams
from wildcore_norm_anchor.reference import measured_norm


class NormAnchor(Transform):
    """Norm-Anchor Scaling. ``norm`` is the reference norm, once it is known."""

    def __init__(self, params: NormAnchorParams) -> None:
        self.params, self.norm = params, params.norm

    def pinned_resources(self) -> dict[str, str]:
        """Return the hash of the facts to measure on. Raises ``UserError`` if they cannot be read."""
        if self.params.norm is not None:
            return {}
        return {"facts": hash_of(read_facts(self.params.facts, self.params.facts_measured))}

    def prepare(self, model: LoadedModel, environment: Environment, solver: ValueSolver) -> None:
        """Measure the reference norm on the unedited model, or read it from the cache, if none is given."""
        if self.params.norm is None:
            self.norm = measured_norm(model, environment, solver, self.params)

    def value(self, solved: Tensor, original: Tensor) -> Tensor:
        """Return ``solved`` [requests, width], each scaled to the reference norm; a value that is 0 stays 0."""
        assert self.norm is not None, "the reference norm is measured by prepare()"
        length: Tensor = solved.norm(dim=-1, keepdim=True)
        scaled = solved * (self.norm / length.where(length > 0, length.new_ones(())))
        if self.params.longest is None:
            return scaled
        return scaled.where(length <= self.params.longest * self.norm, original)
