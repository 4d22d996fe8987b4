"""Solves with second moments, and estimates how far a solution can be trusted."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from wildcore import Setting, UserError

MOST_STEPS = 200
TOLERANCE = 1e-6


class MomentSolver:
    """Solves with second moments that are factorised once: (C + damping * mean(diag C) * I)^-1 k, by Cholesky in float64.

    Raises ``UserError`` if C is singular. It is if fewer tokens were read than it has rows and there is no damping.
    """

    def __init__(self, moments: Tensor, damping: float, device: torch.device | None = None) -> None:
        wide = moments.to(_float64_device(device), torch.float64, copy=True)
        wide.diagonal().add_(damping * wide.diagonal().mean())
        self.factor, info = torch.linalg.cholesky_ex(wide)
        if int(info):
            raise UserError(
                "the second moments are singular",
                way_out=(
                    "read more tokens (",
                    Setting("editor.moment_tokens", "NUMBER"),
                    ") or add damping (",
                    Setting("editor.damping", 0.01),
                    ")",
                ),
            )

    def solve(self, keys: Tensor) -> Tensor:
        """Solve for keys [inputs, n]; the solution has their dtype and device."""
        return torch.cholesky_solve(keys.to(self.factor), self.factor).to(keys)

    @cached_property
    def condition_number(self) -> float:
        """The largest over the smallest eigenvalue of the matrix, estimated from the factor. The estimate is a lower bound.

        A relative error of the second moments can grow by this factor in a solution.
        """
        factor = self.factor
        largest = _largest_eigenvalue(lambda vector: factor @ (factor.T @ vector), factor)
        of_inverse = _largest_eigenvalue(lambda vector: torch.cholesky_solve(vector[:, None], factor)[:, 0], factor)
        return largest * of_inverse


def _largest_eigenvalue(times: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Return the largest eigenvalue of the symmetric map ``times`` of vectors [n], by Lanczos with full orthogonalisation.

    The start is drawn with a fixed seed, so that the estimate is the same each time. ``like`` is [n, n].
    """
    start = torch.randn(len(like), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(like)
    basis = (start / start.norm())[None]
    projected = torch.zeros(MOST_STEPS, MOST_STEPS, dtype=torch.float64)
    estimate = 0.0
    for step in range(min(len(like), MOST_STEPS)):
        image = times(basis[-1])
        projected[: step + 1, step] = basis @ image
        before, estimate = estimate, float(torch.linalg.eigvalsh(projected[: step + 1, : step + 1], UPLO="U")[-1])
        for _ in range(2):  # a single pass leaves rounding errors
            image = image - basis.T @ (basis @ image)
        if image.norm() <= TOLERANCE * estimate or estimate - before <= TOLERANCE * estimate:
            break
        basis = torch.cat([basis, (image / image.norm())[None]])
    return estimate


def widened(keys: Tensor) -> Tensor:
    """Return keys in float64, on a device that has it."""
    return keys.to(_float64_device(keys.device), torch.float64)


def _float64_device(device: torch.device | None) -> torch.device:
    return device if device is not None and device.type == "cuda" else torch.device("cpu")  # mps has no float64
