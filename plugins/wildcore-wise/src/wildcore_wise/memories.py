"""Side memories: their content, and how several are merged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wildcore import Saved


@dataclass(frozen=True)
class SideMemory:
    """``change`` [outputs, inputs] is its difference from the projection's weight, at least float32.

    ``least_active`` is the smallest activity on the prompts of an edit written into it, measured right after that edit.
    """

    change: Tensor
    least_active: float


@dataclass(frozen=True)
class Memories:
    """All side memories after ``edits`` edits: the finished ones, and the one being written, with its mask."""

    done: tuple[SideMemory, ...] = ()
    current: SideMemory | None = None
    mask: Tensor | None = None
    edits: int = 0

    @property
    def all(self) -> tuple[SideMemory, ...]:
        """Every memory that contains an edit."""
        return self.done if self.current is None else (*self.done, self.current)

    def written(
        self, memory: SideMemory, mask: Tensor, save_every: int, merge_every: int, density: float
    ) -> "Memories":
        """Return the memories with one more edit in the current one; after enough edits it is finished, or all are merged."""
        edits = self.edits + 1
        if edits % save_every:
            return Memories(self.done, memory, mask, edits)
        done = (*self.done, memory)
        if edits % merge_every == 0:
            count = merge_every // save_every
            done = (*done[:-count], merged(done[-count:], density))
        return Memories(done, edits=edits)

    def saved(self) -> Saved:
        """Return everything that the memories consist of."""
        tensors = {f"memory.{number}": memory.change for number, memory in enumerate(self.all)}
        if self.mask is not None:
            tensors["mask"] = self.mask
        return Saved(tensors, {"least_active": [memory.least_active for memory in self.all], "edits": self.edits})

    @classmethod
    def read(cls, saved: Saved) -> "Memories":
        """Return the memories that were ``saved``."""
        numbered = enumerate(saved.facts["least_active"])
        memories = tuple(SideMemory(saved.tensors[f"memory.{number}"], float(least)) for number, least in numbered)
        return cls._of(memories, saved.tensors.get("mask"), int(saved.facts["edits"]))

    def to(self, device: torch.device) -> "Memories":
        """Return the memories on ``device``."""
        memories = tuple(replace(memory, change=memory.change.to(device)) for memory in self.all)
        return self._of(memories, None if self.mask is None else self.mask.to(device), self.edits)

    @classmethod
    def _of(cls, memories: tuple[SideMemory, ...], mask: Tensor | None, edits: int) -> "Memories":
        """Return the memories; the last is the one being written, if there is a mask."""
        return cls(memories, edits=edits) if mask is None else cls(memories[:-1], memories[-1], mask, edits)


def merged(memories: Sequence[SideMemory], density: float) -> SideMemory:
    """Return one memory that replaces several, merged by TIES (Yadav et al., NeurIPS 2023).

    Of each memory only the largest changes are kept, a share ``density`` of all. If memories disagree about a sign, the sign
    of their sum is used; the changes with that sign are averaged.
    """
    changes = torch.stack([_largest(memory.change, density) for memory in memories])
    elected = torch.where(changes.sum(0) >= 0, 1.0, -1.0)
    agreeing = changes.sign() == elected
    mean = (changes * agreeing).sum(0) / agreeing.sum(0).clamp(min=1)
    return SideMemory(mean, min(memory.least_active for memory in memories))


def _largest(change: Tensor, density: float) -> Tensor:
    count = max(1, int(density * change.numel()))
    kept = change.abs().flatten().topk(count).indices
    mask = torch.zeros_like(change).flatten().index_fill(0, kept, 1.0)
    return change * mask.view_as(change)
