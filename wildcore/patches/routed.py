"""Many edited models in one batch whose patches route by the prompt: each row under its own ``ModulePatch``.

Such a patch leaves many prompts as they are. One pass over the prompts, up to the module, shows which: a route is chosen once,
from the prompt alone, and a row routed nowhere keeps the module's own output in every pass. So the unedited model answers alike.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from wildcore.interfaces import Patch
from wildcore.models.forwards import ending_after
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import encode, pad
from wildcore.patches.accumulated import CombinedPatch
from wildcore.patches.modules import NOWHERE, ModulePatch, Routing
from wildcore.types import Prompt


class RoutedPatches:
    """Patches of one class on one module, applied together. ``model.forward`` says which prompts the rows of each batch are."""

    def __init__(self, model: LoadedModel, patches: Sequence[ModulePatch]) -> None:
        """Take the patch of each edited model. Together they must be accepted by ``find_routed``."""
        self.model, self.patches = model, tuple(patches)
        self._module = model.network.get_submodule(patches[0].module)

    @contextmanager
    def applied(self, owners: Sequence[int]) -> Iterator[None]:
        """Apply the patches; in this context prompt i of a call is read by the edited model ``owners[i]``."""
        with self._routing(owners):
            yield

    @contextmanager
    def _routing(self, owners: Sequence[int]) -> Iterator["_Stacked"]:
        routing = _Stacked(self.patches, owners)
        hooks = [
            self.model.network.base_model.register_forward_pre_hook(routing.begin, with_kwargs=True),
            self._module.register_forward_hook(routing.change),
        ]
        self.model.listeners.append(routing)
        try:
            yield routing
        finally:
            self.model.listeners.remove(routing)
            for hook in hooks:
                hook.remove()

    @torch.inference_mode()
    def leave_unedited(self, prompts: Sequence[Prompt], owners: Sequence[int]) -> list[bool]:
        """Return for each prompt whether the edited model that reads it, ``owners[i]``, answers as the unedited model does.

        Each prompt must have a token. Prompts of similar length are read together, at most ``model.max_batch_size``.
        """
        found: dict[int, bool] = {}
        ids = [encode(self.model.tokenizer, prompt) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        size = self.model.max_batch_size or max(1, len(ids))
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            unedited = self._unedited_rows([ids[index] for index in batch], [owners[index] for index in batch])
            found |= dict(zip(batch, unedited, strict=True))
        return [found[index] for index in range(len(prompts))]

    def _unedited_rows(self, rows: Sequence[tuple[int, ...]], owners: Sequence[int]) -> list[bool]:
        """Read prompts up to the module; return which are routed nowhere."""
        ids, mask = pad(rows, self.model.padding, "left", self.model.device)
        with self._routing(owners) as routing, ending_after(self._module):
            self.model.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), logits_to_keep=1)
        return [routing.routes[row] == NOWHERE for row in range(len(rows))]


class _Stacked(Routing):
    """Follows the passes of several patches, of which each reads its own prompts."""

    def __init__(self, patches: Sequence[ModulePatch], owners: Sequence[int]) -> None:
        super().__init__(patches[0])
        self.patches, self.owners = patches, owners

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Return each row's route under its own patch."""
        routes = torch.full((len(inputs),), NOWHERE, device=inputs.device)
        for patch, rows in self._rows_by_patch(inputs.device):
            routes[rows] = patch.route(inputs[rows], output[rows], prompt[rows]).to(routes)
        return routes

    def changed(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Return each row's output under its own patch."""
        changed = output.clone()
        for patch, rows in self._rows_by_patch(inputs.device):
            changed[rows] = patch.change(inputs[rows], output[rows], routes[rows], prompt_end[rows])
        return changed

    def _rows_by_patch(self, device: torch.device) -> Iterator[tuple[ModulePatch, Tensor]]:
        places: dict[int, list[int]] = {}
        for place, row in enumerate(self.rows):
            places.setdefault(self.owners[row], []).append(place)
        for owner, own in places.items():
            yield self.patches[owner], torch.tensor(own, device=device)


def find_routed(patches: Sequence[Patch]) -> list[ModulePatch] | None:
    """Return the one ``ModulePatch`` that each patch consists of. None: they do not, or ``RoutedPatches`` cannot stack them.

    All must be of one class, on one module, and choose their routes only when the prompt is read.
    """
    found = [_routed(patch) for patch in patches]
    parts = [part for part in found if part is not None]
    alike = len({(type(part), part.module) for part in parts}) == 1
    return parts if alike and len(parts) == len(found) else None


def _routed(patch: Patch) -> ModulePatch | None:
    """Return the part of a patch that routes, if there is nothing else in it and it is applied as ``ModulePatch`` does it."""
    part: Patch = patch
    if isinstance(patch, CombinedPatch):
        if patch.sums or len(patch.latest) != 1:
            return None
        (part,) = patch.latest.values()
    plain = isinstance(part, ModulePatch) and type(part).applied is ModulePatch.applied and not part.rereads
    return part if plain and isinstance(part, ModulePatch) else None
