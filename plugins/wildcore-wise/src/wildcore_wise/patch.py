"""Side memories as a patch: a prompt runs through the projection, or through the memory that is most active on it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from wildcore import Saved
from wildcore.patches import NOWHERE, ModulePatch
from wildcore_wise.activity import activity


@dataclass(frozen=True)
class Choice:
    """How a memory is chosen; see the parameters ``routing``, ``peak_beyond`` and ``unfinished_competes``.

    ``unfinished``: the last memory is still being written, and competes even below its threshold.
    """

    at_every_token: bool = False
    peak_beyond: int | None = None
    unfinished: bool = False

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> "Choice":
        """Return the choice that a patch says. Raises ``ValueError`` for values of other types, ``TypeError`` for others'
        names.
        """
        choice = cls(**said)
        flags = (choice.at_every_token, choice.unfinished)
        if not all(isinstance(flag, bool) for flag in flags) or type(choice.peak_beyond) not in (int, type(None)):
            raise ValueError(f"memories cannot be chosen by {said!r:.100}")
        return choice


class SideMemoryPatch(ModulePatch):
    """The memory is chosen by a row's own tokens: once by those of the prompt, or at every token by all tokens up to it."""

    def __init__(
        self,
        module: str,
        changes: Sequence[Tensor],
        thresholds: Sequence[float],
        activation: str | None,
        choice: Choice = Choice(),
    ) -> None:
        """``changes`` [outputs, inputs] and ``thresholds`` are those of each memory; for ``activation`` see ``activity``."""
        super().__init__(module)
        self.changes = tuple(changes)
        self.thresholds = tuple(thresholds)
        self.activation = activation
        self.choice = choice
        self.rereads = choice.at_every_token

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Return for each prompt the most active of the memories whose threshold it exceeds."""
        activities = self.activities(inputs, output, prompt)
        thresholds = torch.tensor(self.thresholds, dtype=activities.dtype, device=activities.device)[:, None]
        best = torch.where(activities > thresholds, activities, -1.0).max(0)
        chosen = best.values > 0
        if self.choice.unfinished:
            chosen &= best.values >= activities[-1]
        return torch.where(chosen, best.indices, NOWHERE)

    def activities(self, inputs: Tensor, output: Tensor, counted: Tensor) -> Tensor:
        """Return the activity of each memory on each row's ``counted`` tokens [rows, tokens]: [memories, rows]."""
        beyond = self.choice.peak_beyond
        moved = [self._moved(inputs, number) for number in self._numbers()]
        return torch.stack([activity(output, one, counted, self.activation, beyond) for one in moved])

    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Return the output of each row's memory, at every token."""
        changed = output.clone()
        for number in self._numbers():
            (rows,) = (routes == number).nonzero(as_tuple=True)
            if len(rows):
                changed[rows] = output[rows] + self._moved(inputs[rows], number)
        return changed

    def to_saved(self) -> Saved:
        """Return the memories, their thresholds and the module's name."""
        tensors = {f"memory.{number}": change for number, change in enumerate(self.changes)}
        facts = {"thresholds": list(self.thresholds), "activation": self.activation, "module": self.module}
        return Saved(tensors, {**facts, "choice": asdict(self.choice)})

    def describe(self) -> Mapping[str, Any]:
        """Return each memory's threshold and the Frobenius norm of its change, and whether all numbers are finite."""
        norms = [float(change.double().norm()) for change in self.changes]
        finite = all(
            norm < float("inf") for norm in (*norms, *self.thresholds)
        )  # false for a value that is not a number
        facts = {"norms": norms, "thresholds": list(self.thresholds)} if finite else {}
        return {"finite": finite, "modules": [self.module], "memories": len(self.changes), **facts}

    def _numbers(self) -> range:
        return range(len(self.changes))

    def _moved(self, inputs: Tensor, number: int) -> Tensor:
        return linear(inputs, self.changes[number].to(inputs.dtype))
