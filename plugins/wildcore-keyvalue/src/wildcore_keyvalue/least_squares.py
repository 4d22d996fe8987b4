"""The least-squares update of MEMIT, in float64, and the editors that weigh keys by second moments.

With K the keys [inputs, n], C the second moments and lambda their weight, the update R K^T (lambda C + K K^T)^-1 has the right
factor (lambda C + K K^T)^-1 K (Meng et al., ICLR 2023, equation 14). By Woodbury's identity this is T (I + K^T T)^-1 with
T = (lambda C)^-1 K, so that C is factorised once for all edits.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wildcore import Environment
from wildcore.models import LoadedModel, wide_dtype
from wildcore_keyvalue.layer_parameters import LeastSquaresParams
from wildcore_keyvalue.moment_source import MomentSource, moment_solvers
from wildcore_keyvalue.several_layers import SeveralLayers
from wildcore_keyvalue.solver import MomentSolver, widened


class LeastSquares(SeveralLayers):
    """Base of editors with this solve, or with another one made of the same parts."""

    def __init__(self, params: LeastSquaresParams) -> None:
        assert params.moment_weight is not None, "parameters are completed for a model first"
        super().__init__(params)
        self.moments_from, self.damping = params.second_moments, params.damping
        self.moment_weight = params.moment_weight
        self.solvers: dict[int, MomentSolver] = {}

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the hashes of the prefixes' file and of the corpus or the files of second moments."""
        moments = MomentSource.of(self.params).pinned_resources(self.layers) if self.moments_from == "corpus" else {}
        return super().pin_resources(model, environment, recorded) | moments

    def prepare_layers(self, model: LoadedModel, environment: Environment) -> None:
        """Estimate the layers' second moments, or read them from the cache, and factorise them."""
        if self.moments_from == "corpus":
            source = MomentSource.of(self.params)
            self.solvers = moment_solvers(model, self.layers, source, self.damping, environment)

    def solve_jointly(self, layer: int, keys: Tensor) -> Tensor:
        """Return (lambda C + K K^T)^-1 K [inputs, n] for keys [inputs, n]."""
        return written_together(keys, self.solvers.get(layer), self.moment_weight)

    def solve_independently(self, layer: int, keys: Tensor) -> Tensor:
        """Return (lambda C + k k^T)^-1 k for each column k of keys [inputs, n]."""
        return written_alone(keys, self.solvers.get(layer), self.moment_weight)


def written_together(keys: Tensor, solver: MomentSolver | None, weight: float) -> Tensor:
    """Return (weight C + K K^T)^-1 K [inputs, n] for keys [inputs, n] of one edit. ``solver`` None: C is the identity."""
    thin, wide = weighed(keys, solver, weight)
    small = torch.eye(keys.shape[1], dtype=wide.dtype, device=wide.device) + wide.T @ thin
    right: Tensor = torch.linalg.solve(small, thin, left=False)
    return right.to(keys.device, wide_dtype(keys.dtype))


def written_alone(keys: Tensor, solver: MomentSolver | None, weight: float) -> Tensor:
    """Return (weight C + k k^T)^-1 k for each column k of keys [inputs, n], each an edit of its own."""
    thin, wide = weighed(keys, solver, weight)
    return (thin / (1 + (wide * thin).sum(0))).to(keys.device, wide_dtype(keys.dtype))


def weighed(keys: Tensor, solver: MomentSolver | None, weight: float) -> tuple[Tensor, Tensor]:
    """Return (weight C)^-1 K and K, both [inputs, n] in float64. ``solver`` None: C is the identity."""
    wide = widened(keys)
    return (wide if solver is None else solver.solve(wide)) / weight, wide
