"""Patches, the results of edits: changes of weights, of a module, of a prompt; applied in one batch; saved as files."""

from wildcore.patches.batched import RowPatches
from wildcore.patches.modules import NOWHERE, ModulePatch, deactivated
from wildcore.patches.prompts import PromptPatch
from wildcore.patches.weights import Dense, LowRank, WeightPatch

__all__ = [
    "NOWHERE",
    "Dense",
    "LowRank",
    "ModulePatch",
    "PromptPatch",
    "RowPatches",
    "WeightPatch",
    "deactivated",
]
