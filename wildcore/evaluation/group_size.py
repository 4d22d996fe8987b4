"""How many single edits to solve and evaluate together."""

from torch import Tensor

from wildcore.models.loaded import LoadedModel
from wildcore.models.memory import free_memory

AUTO = "auto"
MAX_GROUP_SIZE = 64
CPU_GROUP_SIZE = 8
"""On the few cores of a CPU, larger groups are not faster."""
SHARE_OF_FREE_MEMORY = 0.7
EDITS_IN_THE_SIZE_OF_THE_WEIGHTS = 12
"""Approximate number of edits whose activations and changes take as much memory as the weights."""


def group_size(asked: str, model: LoadedModel) -> int:
    """Return how many edits to handle together: the number given, or for "auto" an estimate from the free memory.

    If the estimate is too high, the runner halves it.
    """
    if asked != AUTO:
        return int(asked)
    return CPU_GROUP_SIZE if model.device.type == "cpu" else _by_memory(model)


def _by_memory(model: LoadedModel) -> int:
    free = free_memory(model.device)
    if free is None:
        return CPU_GROUP_SIZE
    weights: list[Tensor] = list(model.network.parameters())
    for_one = sum(weight.numel() * weight.element_size() for weight in weights) / EDITS_IN_THE_SIZE_OF_THE_WEIGHTS
    fitting = int(SHARE_OF_FREE_MEMORY * free / for_one)
    return min(MAX_GROUP_SIZE, 1 << max(0, fitting.bit_length() - 1))
