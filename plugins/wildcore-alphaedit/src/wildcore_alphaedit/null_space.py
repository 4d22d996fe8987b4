"""The null space of ordinary keys: the directions of a layer's keys that ordinary text hardly uses.

They are the eigenvectors of the second moments C = E[k k^T] with the smallest eigenvalues, and P is the projection onto them
(Fang et al., ICLR 2025). What is written there changes nothing for keys of ordinary text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from wildcore_keyvalue.corpus import open_corpus
from wildcore_keyvalue.moments import moment_facts, second_moments
from wildcore_keyvalue.solver import widened

from wildcore import Environment, Saved
from wildcore.models import LoadedModel
from wildcore.precision import wide_dtype
from wildcore.prepared import prepared_file

KIND = "null-space"


@dataclass(frozen=True)
class Spectrum:
    """Second moments taken apart: eigenvalues [inputs], ascending, in float64, and eigenvectors, the columns of [inputs, inputs].

    It says nothing of where the null space ends, so that one is kept for all thresholds.
    """

    values: Tensor
    vectors: Tensor

    def below(self, threshold: float) -> int:
        """Return how many eigenvalues are below ``threshold``."""
        return int((self.values < threshold).sum())

    def within(self, share: float) -> int:
        """Return how many eigenvalues, from the smallest on, together are no more than ``share`` of the sum of all."""
        return int((self._shares() <= share).sum())

    def share(self, directions: int) -> float:
        """Return the share that so many of the smallest eigenvalues, at least one, have in the sum of all."""
        return float(self._shares()[directions - 1])

    def _shares(self) -> Tensor:
        positive = self.values.clamp(min=0)  # rounding leaves some below 0
        return positive.cumsum(0) / positive.sum()


def spectrum(moments: Tensor) -> Spectrum:
    """Take second moments [inputs, inputs] apart, in float64."""
    values, vectors = torch.linalg.eigh(widened(moments))
    return Spectrum(values.cpu(), vectors.to(wide_dtype(moments.dtype)).cpu())


def spectra(
    model: LoadedModel, layers: Sequence[int], corpus_name: str, tokens: int, environment: Environment
) -> Mapping[int, Spectrum]:
    """Return the spectrum of each layer's second moments, as ``second_moments`` estimates them.

    Kept in the store of prepared things; only what is not there yet is computed.
    """
    facts = moment_facts(open_corpus(corpus_name), tokens)
    files = {layer: prepared_file(environment, model, KIND, {"layer": layer, **facts}) for layer in layers}
    missing = [layer for layer, file in files.items() if not file.exists()]
    moments = second_moments(model, missing, corpus_name, tokens, environment) if missing else {}
    for layer in missing:
        found = spectrum(moments.pop(layer).to(model.device))
        files[layer].save(Saved({"values": found.values, "vectors": found.vectors}, {}))
    loaded = {layer: file.load().tensors for layer, file in files.items()}
    return {layer: Spectrum(tensors["values"], tensors["vectors"]) for layer, tensors in loaded.items()}


class NullSpace:
    """The span of the eigenvectors with the ``directions`` smallest eigenvalues."""

    def __init__(self, of: Spectrum, directions: int, device: torch.device | None = None) -> None:
        self.directions = directions
        self.protected = widened(of.vectors[:, directions:].to(device))

    def projected(self, keys: Tensor) -> Tensor:
        """Return P K [inputs, n] for keys K [inputs, n], in float64."""
        wide = keys.to(self.protected)
        return wide - self.protected @ (self.protected.T @ wide)
