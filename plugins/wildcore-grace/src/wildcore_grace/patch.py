"""A codebook as a patch: its values replace the module's output at the prompt's last token."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wildcore import Saved
from wildcore.patches import NOWHERE, ModulePatch
from wildcore_grace.codebook import Codebook


class CodebookPatch(ModulePatch):
    """If the prompt's last token lies within a key's radius, the key's value replaces the module's output there.

    Later tokens are affected through attention only, so the answer is the same with and without a key-value cache.
    """

    def __init__(self, module: str, codebook: Codebook) -> None:
        super().__init__(module)
        self.codebook = codebook

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Return the entry found by each prompt's last token."""
        places = torch.arange(prompt.shape[1], device=prompt.device)
        last = torch.where(prompt, places, 0).amax(-1)
        found = self.codebook.look_up(inputs[torch.arange(len(inputs), device=inputs.device), last])
        return torch.where(prompt.any(-1), found, NOWHERE)

    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Replace the output at the prompts' last tokens by the values."""
        (rows,) = ((routes != NOWHERE) & (prompt_end != NOWHERE)).nonzero(as_tuple=True)
        changed = output.clone()
        changed[rows, prompt_end[rows]] = self.codebook.values[routes[rows]].to(output.dtype)
        return changed

    def to_saved(self) -> Saved:
        """Return the codebook and the module's name."""
        saved = self.codebook.saved()
        return Saved(saved.tensors, {**saved.facts, "module": self.module})

    def describe(self) -> Mapping[str, Any]:
        """Return the number of keys, and whether all numbers are finite."""
        finite = all(bool(t.isfinite().all()) for t in (self.codebook.keys, self.codebook.values, self.codebook.radii))
        return {"finite": finite, "modules": [self.module], "keys": len(self.codebook.labels)}
