"""The hyper-network: from the factors of a gradient to those of an edit (Mitchell et al. 2022, section 3).

For one projection, with x and d a token's factors, each normalised by its running mean and deviation::

    [x', d'] = g([x, d])        change = rate * sum over tokens of d' x'^T

g is a stack of residual layers of low rank that is initialised as the identity. Projections of one shape share g and the
statistics. Each projection has its own scale and shift in each layer, and its own rate, which is learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from wildcore.models import LoadedModel, wide_dtype
from wildcore.patches import LowRank
from wildcore_mend.gradients import Factors
from wildcore_mend.parameters import MendParams

SMALLEST_DEVIATION = 1e-7


class Statistics(nn.Module):
    """Mean and deviation of each entry of vectors, over all vectors observed."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("squares", torch.zeros(width))

    @torch.no_grad()
    def observe(self, vectors: Tensor) -> None:
        """Add vectors [vectors, width] to the statistics (Chan et al. 1979: the statistics of two groups from those of each)."""
        if not len(vectors):
            return
        mean = vectors.mean(0)
        apart, share = mean - self.mean, len(vectors) / (self.count + len(vectors))
        self.squares += (vectors - mean).pow(2).sum(0) + apart.pow(2) * self.count * share
        self.mean += apart * share
        self.count += len(vectors)

    def normalised(self, vectors: Tensor) -> Tensor:
        """Return the vectors minus the mean, divided by the deviation."""
        deviation = (self.squares / (self.count - 1).clamp(min=1)).sqrt()
        return (vectors - self.mean) / (deviation + SMALLEST_DEVIATION)


class ResidualLayer(nn.Module):
    """x + max(0, scale * (U V x + b) + shift), with the projection's own scale and shift; U is zero at first."""

    def __init__(self, width: int, rank: int, projections: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = min(rank, width)
        self.u = nn.Parameter(torch.zeros(width, inner))
        self.v = nn.Parameter(torch.empty(inner, width).normal_(generator=generator))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(projections, width))
        self.shift = nn.Parameter(torch.zeros(projections, width))

    def forward(self, vectors: Tensor, projections: Tensor) -> Tensor:
        """Return the transformed vectors [vectors, width]; ``projections`` [vectors] holds the projection of each."""
        inner = (vectors @ self.v.T) @ self.u.T + self.bias
        # embedding instead of an index, whose gradient several threads sum in any order
        scale, shift = embedding(projections, self.scale), embedding(projections, self.shift)
        # clamp instead of relu, which has no gradient at 0, where every entry starts
        return vectors + (inner * scale + shift).clamp(min=0)


class GradientTransform(nn.Module):
    """g for all projections of one shape, with the statistics of their factors."""

    def __init__(
        self, shape: tuple[int, int], projections: int, params: MendParams, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.of_inputs, self.of_deltas = (Statistics(width) for width in shape)
        layers = (ResidualLayer(sum(shape), params.rank, projections, generator) for _ in range(params.residual_layers))
        self.layers = nn.ModuleList(layers)

    def observe(self, factors: Factors) -> None:
        """Add the factors to the statistics."""
        self.of_inputs.observe(factors.inputs)
        self.of_deltas.observe(factors.deltas)

    def normalised(self, factors: Factors) -> Tensor:
        """Return [x, d], normalised: [tokens, inputs + outputs]."""
        return torch.cat([self.of_inputs.normalised(factors.inputs), self.of_deltas.normalised(factors.deltas)], -1)

    def forward(self, normalised: Tensor, projections: Tensor) -> Tensor:
        """Return [x', d'] of tokens [tokens, inputs + outputs]; ``projections`` [tokens] holds the projection of each."""
        for layer in self.layers:
            normalised = layer(normalised, projections)
        return normalised


@dataclass(frozen=True)
class _Waiting:
    """The normalised factors of one request and projection, to be transformed together with others of the same shape."""

    request: int
    name: str
    vectors: Tensor


class HyperNetwork(nn.Module):
    """The transforms of all shapes, and each projection's rate. It does not affect the model that it is made for."""

    def __init__(
        self, model: LoadedModel, names: Sequence[str], params: MendParams, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.places: dict[str, tuple[str, int]] = {}
        counts: dict[tuple[int, int], int] = {}
        for name in names:
            outputs, inputs = model.projection(name).weight.shape
            self.places[name] = f"{inputs}-{outputs}", counts.setdefault((inputs, outputs), 0)
            counts[inputs, outputs] += 1
        made = {f"{i}-{o}": GradientTransform((i, o), n, params, generator) for (i, o), n in counts.items()}
        self.transforms = nn.ModuleDict(made)
        self.rates = nn.Parameter(torch.full((len(names),), params.edit_rate))
        self.to(model.device, wide_dtype(model.dtype))

    def changes(self, of_each: Sequence[Mapping[str, Factors]], observe: bool = False) -> list[dict[str, LowRank]]:
        """Return for each request's factors the changes that make up its edit; their rank is the number of tokens.

        With ``observe`` the factors are added to the statistics, one projection after another, each just before it is
        normalised. They do not affect each other otherwise.
        """
        changes: list[dict[str, LowRank]] = [{} for _ in of_each]
        for shape, waiting in self._normalised(of_each, observe).items():
            projections = torch.tensor(
                [self.places[one.name][1] for one in waiting for _ in one.vectors], dtype=torch.long
            )
            vectors = torch.cat([one.vectors for one in waiting])
            transformed = self.transforms[shape](vectors, projections.to(vectors.device))
            parts = torch.split(transformed, [len(one.vectors) for one in waiting])
            for one, part in zip(waiting, parts, strict=True):
                changes[one.request][one.name] = self._change(one.name, part)
        return changes

    def _normalised(self, of_each: Sequence[Mapping[str, Factors]], observe: bool) -> dict[str, list[_Waiting]]:
        """Return all factors by shape, in order."""
        waiting: dict[str, list[_Waiting]] = {shape: [] for shape in self.transforms}
        for request, factors in enumerate(of_each):
            for name in self.names:
                shape, own = self.places[name][0], self._here(factors[name])
                transform = self.transforms[shape]
                assert isinstance(transform, GradientTransform)
                if observe:
                    transform.observe(own)
                waiting[shape].append(_Waiting(request, name, transform.normalised(own)))
        return waiting

    def _change(self, name: str, transformed: Tensor) -> LowRank:
        inputs = int(self.places[name][0].split("-")[0])
        rate = self.rates[self.names.index(name)]
        return LowRank(rate * transformed[:, inputs:].T, transformed[:, :inputs].T)

    def _here(self, factors: Factors) -> Factors:
        return Factors(factors.inputs.to(self.rates.device), factors.deltas.to(self.rates.device))
