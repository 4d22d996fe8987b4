"""A codebook at work: it gives a value in place of what the module gives at the prompt's last token."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wildcore import Saved
from wildcore.patches import NOWHERE, ModulePatch
from wildcore_grace.codebook import Codebook


class CodebookPatch(ModulePatch):
    """Where the prompt's last token lies in a key's radius, the key's value replaces what the module gives there.

    Everything after it sees that by attention alone, so the answer is one and the same with and without a key-value cache.
    """

    def __init__(self, module: str, codebook: Codebook) -> None:
        super().__init__(module)
        self.codebook = codebook

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Return the entry that each prompt's last token finds."""
        places = torch.arange(prompt.shape[1], device=prompt.device)
        last = torch.where(prompt, places, 0).amax(-1)
        found = self.codebook.look_up(inputs[torch.arange(len(inputs), device=inputs.device), last])
        return torch.where(prompt.any(-1), found, NOWHERE)

    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Put the values at the prompts' last tokens."""
        (rows,) = ((routes != NOWHERE) & (prompt_end != NOWHERE)).nonzero(as_tuple=True)
        changed = output.clone()
        changed[rows, prompt_end[rows]] = self.codebook.values[routes[rows]].to(output.dtype)
        return changed

    def saved(self) -> Saved:
        """Return the codebook and the module's name."""
        saved = self.codebook.saved()
        return Saved(saved.tensors, {**saved.facts, "module": self.module})

    def describe(self) -> Mapping[str, Any]:
        """Return how many keys there are and whether all numbers are finite."""
        finite = all(bool(t.isfinite().all()) for t in (self.codebook.keys, self.codebook.values, self.codebook.radii))
        return {"finite": finite, "modules": [self.module], "keys": len(self.codebook.labels)}
