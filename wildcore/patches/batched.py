"""Many edited models in one batch: each row under its own patch.

For row i, a low-rank change of a weight W is computed beside it, ``y_i = W x_i + U_i (V_i^T x_i)``; a dense change is computed
as a batched product. The weights themselves are not modified. Hooks exist only while patches are applied, so other passes cost
nothing extra.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wildcore.models.loaded import BatchInfo, LoadedModel
from wildcore.models.precision import at_least_float32, wide_dtype
from wildcore.patches.weights import Dense, LowRank, WeightPatch


@dataclass(frozen=True)
class _Grouping:
    """The rows whose model has a dense change: row ``rows[i]`` is the ``slots[i]``-th of the change ``places[i]``."""

    rows: Tensor
    places: Tensor
    slots: Tensor
    most: int
    """The largest number of rows of one change."""


@dataclass(frozen=True)
class _Change:
    """The changes of one weight in all edited models.

    ``left`` [models, outputs, rank] and ``right`` [models, inputs, rank] hold the low-rank changes, padded with zeros.
    ``dense`` [models with one, outputs, inputs] holds the dense changes, and ``dense_places`` [models] the index of each
    model's change in it, or -1.
    """

    left: Tensor | None
    right: Tensor | None
    dense: Tensor | None
    dense_places: tuple[int, ...]
    device: torch.device

    def grouping(self, owners: Sequence[int]) -> _Grouping | None:
        """Return which rows are under which dense change; ``owners`` [rows] holds the model of each row."""
        if self.dense is None:
            return None
        found = [(row, self.dense_places[owner]) for row, owner in enumerate(owners) if self.dense_places[owner] >= 0]
        taken: Counter[int] = Counter()
        slots = []
        for _, place in found:
            slots.append(taken[place])
            taken[place] += 1
        rows, places = [row for row, _ in found], [place for _, place in found]
        rows_places_slots = torch.tensor([rows, places, slots], dtype=torch.long).to(self.device)
        most = max(taken.values(), default=0)
        return _Grouping(rows_places_slots[0], rows_places_slots[1], rows_places_slots[2], most)

    def add_to(self, output: Tensor, inputs: Tensor, models: Tensor, grouping: _Grouping | None) -> Tensor:
        """Return ``output`` [rows, tokens, outputs] with each row's change added; ``models`` [rows] holds the model of each
        row.
        """
        if self.left is not None and self.right is not None:
            thin = torch.bmm(at_least_float32(inputs), self.right[models])
            output = (at_least_float32(output) + torch.bmm(thin, self.left[models].transpose(1, 2))).to(output.dtype)
        if self.dense is not None and grouping is not None and grouping.most:
            output = output + _dense_product(self.dense, inputs, grouping)
        return output


def _dense_product(dense: Tensor, inputs: Tensor, group: _Grouping) -> Tensor:
    """Multiply rows by the dense change of their model. Rows of one model are grouped, so that no change is copied."""
    rows, tokens, width = inputs.shape
    grouped = inputs.new_zeros(len(dense), group.most, tokens, width)
    grouped[group.places, group.slots] = inputs[group.rows]
    products = torch.bmm(grouped.flatten(1, 2), dense.transpose(1, 2))
    products = products.view(len(dense), group.most, tokens, dense.shape[1])
    result = inputs.new_zeros(rows, tokens, dense.shape[1])
    result[group.rows] = products[group.places, group.slots]
    return result


class RowPatches:
    """Patches of several edited models, applied together. ``model.forward`` says which prompts the rows of each batch are."""

    allows_cuda_graph = True

    def __init__(self, model: LoadedModel, patches: Sequence[Sequence[WeightPatch]]) -> None:
        """Stack the patches: one list for each edited model, with the patches that it carries in order."""
        self.model = model
        names = dict.fromkeys(name for own in patches for patch in own for name in patch.changes)
        self.changes: Mapping[str, _Change] = {name: _stacked(model, name, patches) for name in names}
        self._owners: Sequence[int] = ()
        self._rows: Sequence[int] = ()
        self._models: Mapping[str, Tensor] = {}
        self._groupings: Mapping[str, _Grouping | None] = {}

    @contextmanager
    def applied(self, owners: Sequence[int]) -> Iterator[None]:
        """Apply the patches; in this context prompt i of a call is read by the edited model ``owners[i]``."""
        self._owners, self._rows = tuple(owners), ()
        self.on_batch(BatchInfo())
        with ExitStack() as hooks:
            for name, change in self.changes.items():
                module = self.model.projection(name).module
                hooks.callback(module.register_forward_hook(self._hook(name, change)).remove)
            self.model.listeners.append(self)
            hooks.callback(self.model.listeners.remove, self)
            yield

    def on_batch(self, reading: BatchInfo) -> None:
        """Receive which prompts the rows of the next batch are."""
        rows = self._owners if reading.rows is None else tuple(self._owners[row] for row in reading.rows)
        if rows == self._rows:
            return
        self._rows = rows
        models = torch.tensor(rows, dtype=torch.long)
        self._models = {name: models.to(change.device) for name, change in self.changes.items()}
        self._groupings = {name: change.grouping(rows) for name, change in self.changes.items()}

    def _hook(self, name: str, change: _Change) -> Any:
        def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            read = inputs[0]
            if len(read) != len(self._rows):
                raise RuntimeError(
                    f"a batch of {len(read)} rows where {len(self._rows)} prompts are in work: a generator that is not "
                    "supports_row_patches must not be given row patches"
                )
            return change.add_to(output, read, self._models[name], self._groupings[name])

        return add


def _stacked(model: LoadedModel, name: str, patches: Sequence[Sequence[WeightPatch]]) -> _Change:
    weight = model.projection(name).weight
    own = [[patch.changes[name] for patch in of_model if name in patch.changes] for of_model in patches]
    thin = [[change for change in changes if isinstance(change, LowRank)] for changes in own]
    dense = [[change.change for change in changes if isinstance(change, Dense)] for changes in own]
    places = iter(range(len(dense)))
    has_thin = any(thin)
    return _Change(
        left=_side_by_side([[change.left for change in changes] for changes in thin], weight.shape[0], weight)
        if has_thin
        else None,
        right=_side_by_side([[change.right for change in changes] for changes in thin], weight.shape[1], weight)
        if has_thin
        else None,
        dense=_summed([changes for changes in dense if changes], weight),
        dense_places=tuple(next(places) if changes else -1 for changes in dense),
        device=weight.device,
    )


def _summed(dense: Sequence[Sequence[Tensor]], weight: Tensor) -> Tensor | None:
    """Return the sum of each model's changes in the weight's dtype [models, outputs, inputs], without copying all of them."""
    if not dense:
        return None
    sums = torch.empty(len(dense), *weight.shape, dtype=weight.dtype, device=weight.device)
    for place, (first, *others) in enumerate(dense):
        sums[place] = sum(others, start=first)
    return sums


def _side_by_side(factors: Sequence[Sequence[Tensor]], width: int, weight: Tensor) -> Tensor:
    """Return each model's factors [width, rank] as one tensor, padded to the highest rank: [models, width, rank].

    They are in float32; for a weight in float64, in float64.
    """
    nothing = torch.zeros(width, 0, device=weight.device, dtype=wide_dtype(weight.dtype))
    joined = [torch.cat([nothing, *(factor.to(nothing) for factor in of_model)], dim=1) for of_model in factors]
    highest = max(factor.shape[1] for factor in joined)
    return torch.stack([nn.functional.pad(factor, (0, highest - factor.shape[1])) for factor in joined])
