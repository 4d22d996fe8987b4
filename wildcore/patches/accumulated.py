"""Everything that a sequence of updates wrote, as one patch."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from wildcore.interfaces import Patch, SavablePatch
from wildcore.models.loaded import LoadedModel
from wildcore.models.precision import wide_dtype
from wildcore.patches.files import require_savable
from wildcore.patches.prompts import PromptPatch
from wildcore.patches.weights import Dense, WeightPatch

Place = tuple[type, str | None]
"""The class of a patch that is not a change of weights, and the module that it changes, if any."""


class CombinedPatch:
    """The patches of successive updates. It stays as large as one of them.

    Changes of weights are summed in float32 (those in float64 in float64), one matrix for each module, and applied as W plus
    the sum: rounded to the weight's dtype once, not once for each update. Any other patch contains what its editor wrote
    before, so it replaces the earlier patch of its class on its module.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        """Changes [outputs, inputs] by module name, in float32 or float64."""
        self.latest: dict[Place, SavablePatch] = {}
        """The other patches, in the order in which they are applied."""

    def add(self, patch: Patch) -> None:
        """Add the patch of one more update. Raises ``UserError`` for a patch that can neither be summed nor be saved to a
        file.
        """
        if not isinstance(patch, WeightPatch):
            place = (type(patch), getattr(patch, "module", None))
            kept = require_savable(patch)
            self.latest.pop(place, None)
            self.latest[place] = kept
            return
        for name, change in patch.changes.items():
            dense = change.dense()
            if name in self.sums:
                self.sums[name] += dense.to(self.sums[name])
            else:
                self.sums[name] = dense.to(wide_dtype(dense.dtype), copy=isinstance(change, Dense))

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        """Apply all changes to ``model``; afterwards it is bit for bit what it was before."""
        with ExitStack() as applied:
            for patch in (self.weights(), *self.latest.values()):
                applied.enter_context(patch.applied(model))
            yield

    def weights(self) -> WeightPatch:
        """Return the sums as one change of weights."""
        return WeightPatch({name: Dense(total) for name, total in self.sums.items()})

    @property
    def finite(self) -> bool:
        """Whether every number of the sums is finite, and every other patch reports that it is finite."""
        sums = all(bool(total.isfinite().all()) for total in self.sums.values())
        return sums and all(patch.describe().get("finite", True) for patch in self.latest.values())

    def describe(self) -> dict[str, Any]:
        """Return whether every number is finite, and the names of the modules whose weights are changed."""
        return {"finite": self.finite, "modules": sorted(self.sums)}


def changes_prompts(patch: Patch) -> bool:
    """Return whether ``patch`` changes the prompts that the model is given."""
    return any(isinstance(part, PromptPatch) for part in _parts(patch))


def can_share_prompts(patch: Patch) -> bool:
    """Return whether the prefill of a prompt under ``patch`` can be reused by another protocol. False for patches that route
    by the prompt, such as ``ModulePatch``.
    """
    return all(isinstance(part, WeightPatch | PromptPatch) for part in _parts(patch))


def _parts(patch: Patch) -> Iterable[Patch]:
    """Return the patches besides the sums of weights, or the one patch itself."""
    return patch.latest.values() if isinstance(patch, CombinedPatch) else (patch,)
