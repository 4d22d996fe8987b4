"""The null space of ordinary keys: the directions of a layer's keys that ordinary text hardly uses.

They are the eigenvectors of the second moments C = E[k k^T] with the smallest eigenvalues, and P is the projection onto them
(Fang et al., ICLR 2025). What is written there changes nothing for keys of ordinary text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from wildcore_keyvalue.moment_source import MomentSource
from wildcore_keyvalue.solver import widened

from wildcore import Environment, Saved
from wildcore.models import LoadedModel, wide_dtype
from wildcore.storage import artifact_file, load_or_make

KIND = "null-space"


@dataclass(frozen=True)
class Spectrum:
    """The eigendecomposition of second moments: eigenvalues [inputs], ascending, in float64, and eigenvectors, the columns of
    [inputs, inputs].

    It does not depend on where the null space ends, so one is kept for all thresholds.
    """

    values: Tensor
    vectors: Tensor
    tokens: int | None = None
    """The number of tokens from which the second moments were computed. None: unknown."""

    def below(self, threshold: float) -> int:
        """Return how many eigenvalues are below ``threshold``."""
        return int((self.values < threshold).sum())

    def within(self, share: float) -> int:
        """Return how many eigenvalues, from the smallest on, sum to at most ``share`` of the total."""
        return int((self._shares() <= share).sum())

    def share(self, directions: int) -> float:
        """Return the share of the total held by the ``directions`` smallest eigenvalues (at least one)."""
        return float(self._shares()[directions - 1])

    def _shares(self) -> Tensor:
        positive = self.values.clamp(min=0)  # rounding leaves some below 0
        return positive.cumsum(0) / positive.sum()


def spectrum(moments: Tensor, tokens: int | None = None) -> Spectrum:
    """Return the eigendecomposition of second moments [inputs, inputs] of ``tokens`` tokens, in float64."""
    values, vectors = torch.linalg.eigh(widened(moments))
    return Spectrum(values.cpu(), vectors.to(wide_dtype(moments.dtype)).cpu(), tokens)


def spectra(
    model: LoadedModel, layers: Sequence[int], source: MomentSource, environment: Environment
) -> Mapping[int, Spectrum]:
    """Return the spectrum of each layer's second moments from ``source``.

    The spectra are kept in the store of artifacts; only missing and damaged ones are computed.
    """
    files = {
        layer: artifact_file(environment, model, KIND, {"layer": layer, **source.facts(layer)}) for layer in layers
    }

    def compute(missing: list[int]) -> None:
        moments = source.moments(model, missing, environment)
        for layer in missing:
            own = moments.pop(layer)
            found = spectrum(_on(model.device, own.matrix), own.count)
            vectors = found.vectors.to(wide_dtype(model.dtype))
            files[layer].save(Saved({"values": found.values, "vectors": vectors}, {"tokens": found.tokens}))

    loaded = load_or_make(environment, files, compute)
    return {
        layer: Spectrum(saved.tensors["values"], saved.tensors["vectors"], saved.facts["tokens"])
        for layer, saved in loaded.items()
    }


def _on(device: torch.device, moments: Tensor) -> Tensor:
    """Return moments in float64 on ``device`` if it supports float64, else on the CPU."""
    return moments.to(device) if device.type == "cuda" else moments


class NullSpace:
    """The span of the eigenvectors with the ``directions`` smallest eigenvalues."""

    def __init__(self, of: Spectrum, directions: int, device: torch.device | None = None) -> None:
        self.directions = directions
        self.protected = widened(of.vectors[:, directions:].to(device))

    def projected(self, keys: Tensor) -> Tensor:
        """Return P K [inputs, n] for keys K [inputs, n], in float64."""
        wide = keys.to(self.protected)
        return wide - self.protected @ (self.protected.T @ wide)
