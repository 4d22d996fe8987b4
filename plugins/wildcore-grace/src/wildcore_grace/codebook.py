"""The codebook: keys, each with its radius, its value, and the label with which it was written."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from wildcore import Saved
from wildcore.models import at_least_float32, wide_dtype
from wildcore.patches import NOWHERE

OWN_ROUNDING, INNER_ROUNDING = 4, 64
"""Largest difference between a prompt's keys in two passes, in a batch or alone, relative to the key's length. It is at most
this many times the rounding of the model's dtype, plus this many times that of float32, in which sums are computed (float64 in
a float64 model). Our choice; the tests find small models within it."""

TENSORS = ("keys", "values", "radii")


@dataclass(frozen=True)
class Rules:
    """How an edit near an earlier key is written; see the parameters of the same names."""

    label_order: Literal["as-keys", "newest-first"] = "as-keys"
    same_key: Literal["replace", "split"] = "replace"
    split_gap: float = 0.0


@dataclass(frozen=True)
class Codebook:
    """``keys`` [entries, inputs], ``values`` [entries, outputs], ``radii`` [entries], in float32 or float64; never modified in
    place.

    An edit near an entry is compared with the label at the same index. ``drawn`` counts the random initial values drawn so
    far.
    """

    keys: Tensor
    values: Tensor
    radii: Tensor
    labels: tuple[str, ...]
    drawn: int = 0

    @classmethod
    def empty(cls, inputs: int, outputs: int, device: torch.device, dtype: torch.dtype = torch.float32) -> "Codebook":
        """Return a codebook without entries for a projection from ``inputs`` to ``outputs``."""
        nothing = torch.zeros(0, device=device, dtype=dtype)
        return cls(nothing.new_zeros(0, inputs), nothing.new_zeros(0, outputs), nothing, ())

    @classmethod
    def read(cls, saved: Saved) -> "Codebook":
        """Return the codebook that was ``saved``. Raises ``ValueError`` if its parts do not fit each other."""
        tensors = {name: saved.tensors[name] for name in TENSORS}
        codebook = cls(**tensors, labels=tuple(saved.facts["labels"]), drawn=saved.facts["drawn"])
        codebook._require_whole()
        return codebook

    def _require_whole(self) -> None:
        parts = (self.keys, self.values, self.radii)
        if [part.ndim for part in parts] != [2, 2, 1] or {len(part) for part in parts} != {len(self.labels)}:
            raise ValueError("keys, values, radii and labels of the codebook are not equally many")
        if {part.dtype for part in parts} != {wide_dtype(self.keys.dtype)}:
            raise ValueError("keys, values and radii must all be in float32, or all in float64")
        if not all(isinstance(label, str) for label in self.labels):
            raise ValueError("a label of the codebook is not text")
        if type(self.drawn) is not int or self.drawn < 0:
            raise ValueError(f"{self.drawn!r} values cannot have been drawn")

    def saved(self) -> Saved:
        """Return everything that the codebook consists of."""
        tensors = {name: getattr(self, name) for name in TENSORS}
        return Saved(tensors, {"labels": list(self.labels), "drawn": self.drawn})

    def to(self, device: torch.device) -> "Codebook":
        """Return the codebook on ``device``."""
        return replace(self, keys=self.keys.to(device), values=self.values.to(device), radii=self.radii.to(device))

    def look_up(self, queries: Tensor) -> Tensor:
        """Return for each query [rows, inputs] the entry of its nearest key if it lies within that key's radius, else
        ``NOWHERE``.

        A query that is outside by no more than rounding counts as inside, for example a prompt on the edge of a radius that
        grew to include it. No query lies within a radius that is not positive.
        """
        if not self.labels:
            return torch.full((len(queries),), NOWHERE, device=queries.device)
        distances, entries = self._nearest(queries)
        radii = self.radii[entries]
        return torch.where((distances <= radii + rounding(queries)) & (radii > 0), entries, NOWHERE)

    def with_entry(
        self, query: Tensor, label: str, initial_radius: float, rules: Rules = Rules()
    ) -> tuple["Codebook", int, bool]:
        """Add or choose the entry for an edit with key ``query`` [inputs], in the model's dtype: algorithm 1 of the paper.

        Returns the codebook, the edit's entry, and whether the entry is new, so that its value must be trained from the start.
        If the same key, or one that rounding cannot tell from it, is written with another label, the paper's split would leave
        two keys at one point. By default the new edit takes over the entry instead, which keeps its radius.
        """
        if not self.labels:
            return self._added(query, label, initial_radius, rules)
        distances, entries = self._nearest(query[None])
        distance, entry = float(distances), int(entries)
        if distance > initial_radius + float(self.radii[entry]):
            return self._added(query, label, initial_radius, rules)
        if label == self.labels[entry]:
            return self._with_radius(entry, max(distance, float(self.radii[entry]))), entry, False
        same = distance <= 2 * float(rounding(query))
        if same and rules.same_key == "replace":
            labels = (*self.labels[:entry], label, *self.labels[entry + 1 :])
            return replace(self, labels=labels, drawn=self.drawn + 1), entry, True
        half = 0.0 if same else distance / 2
        return self._with_radius(entry, half - rules.split_gap)._added(query, label, half, rules)

    def with_value(self, entry: int, value: Tensor) -> "Codebook":
        """Return the codebook with ``value`` [outputs] at ``entry``."""
        values = self.values.clone()
        values[entry] = value
        return replace(self, values=values)

    def _nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return each query's distance to the nearest key, and that key's index: both [rows]. Exact: equal keys have distance
        0.
        """
        distances = torch.cdist(at_least_float32(queries), self.keys, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.min(-1)
        return nearest.values, nearest.indices

    def _added(self, key: Tensor, label: str, radius: float, rules: Rules) -> tuple["Codebook", int, bool]:
        added = Codebook(
            keys=torch.cat([self.keys, at_least_float32(key)[None]]),
            values=torch.cat([self.values, self.values.new_zeros(1, self.values.shape[1])]),
            radii=torch.cat([self.radii, self.radii.new_tensor([radius])]),
            labels=(*self.labels, label) if rules.label_order == "as-keys" else (label, *self.labels),
            drawn=self.drawn + 1,
        )
        return added, len(self.labels), True

    def _with_radius(self, entry: int, radius: float) -> "Codebook":
        radii = self.radii.clone()
        radii[entry] = radius
        return replace(self, radii=radii)


def rounding(queries: Tensor) -> Tensor:
    """Return how far apart the keys [..., inputs] of one prompt may be in two passes: [...]."""
    share = OWN_ROUNDING * torch.finfo(queries.dtype).eps + INNER_ROUNDING * torch.finfo(wide_dtype(queries.dtype)).eps
    apart: Tensor = share * at_least_float32(queries).norm(dim=-1)
    return apart
