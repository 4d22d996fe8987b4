"""Reversible changes of weights.

An editor returns a change, not a changed model. Applying it saves the original weights and restores them by copying, because
subtracting what was added does not restore the bits.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wildcore.models.loaded import LoadedModel
from wildcore.models.precision import at_least_float32


@dataclass(frozen=True)
class LowRank:
    """A change ``left @ right.T`` of a weight [outputs, inputs]: ``left`` [outputs, rank], ``right`` [inputs, rank]."""

    left: Tensor
    right: Tensor

    def dense(self) -> Tensor:
        """Return the change as a matrix [outputs, inputs]."""
        return self.left @ self.right.T

    def norm(self) -> float:
        """Return the Frobenius norm of the change, without making the matrix."""
        left, right = self.left.double(), self.right.double()
        return float(((left.T @ left) * (right.T @ right)).sum().clamp(min=0).sqrt())


@dataclass(frozen=True)
class Dense:
    """A change of a weight, as a matrix [outputs, inputs]."""

    change: Tensor

    def dense(self) -> Tensor:
        """Return the change itself."""
        return self.change

    def norm(self) -> float:
        """Return the Frobenius norm of the change."""
        return float(torch.linalg.vector_norm(self.change, dtype=torch.float64))


@dataclass(frozen=True)
class WeightPatch:
    """Changes of linear maps, by module name. Each is [outputs, inputs], even if a module stores its weight transposed."""

    changes: Mapping[str, LowRank | Dense]

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        """Add the changes to the model's weights. On leaving, even after an exception, the original bits are restored."""
        originals: dict[str, Tensor] = {}
        model.weight_patches.append(self)
        try:
            for name, change in self.changes.items():
                weight = model.projection(name).weight
                originals[name] = weight.clone()
                wide = at_least_float32(weight)
                weight.copy_(wide + change.dense().to(wide))
            yield
        finally:
            for name, original in originals.items():
                model.projection(name).weight.copy_(original)
            model.weight_patches.pop()

    def norms(self) -> dict[str, float]:
        """Return the Frobenius norm of each change, by module name."""
        return {name: change.norm() for name, change in self.changes.items()}

    def describe(self) -> dict[str, Any]:
        """Return the Frobenius norm of all changes together, and whether every number is finite."""
        squared = sum(float(change.dense().double().pow(2).sum()) for change in self.changes.values())
        finite = squared == squared and squared != float("inf")
        return {"change_norm": squared**0.5 if finite else None, "finite": finite, "modules": sorted(self.changes)}
