"""How many single edits to solve and judge together."""

from torch import Tensor

from wildcore.models.loaded import LoadedModel
from wildcore.models.memory import free_memory

AUTO = "auto"
MOST = 64
ON_A_CPU = 8
"""More do not go faster on the few cores that a CPU has."""
SHARE_OF_FREE_MEMORY = 0.7
EDITS_IN_THE_SIZE_OF_THE_WEIGHTS = 12
"""About how many edits' activations and changes take as much memory as the weights do."""


def edits_at_once(asked: str, model: LoadedModel) -> int:
    """Return how many edits to handle together: the number asked for, or for "auto" what the free memory suggests.

    A guess that is too high is mended by the runner, which halves it.
    """
    if asked != AUTO:
        return int(asked)
    return ON_A_CPU if model.device.type == "cpu" else _by_memory(model)


def _by_memory(model: LoadedModel) -> int:
    free = free_memory(model.device)
    if free is None:
        return ON_A_CPU
    weights: list[Tensor] = list(model.network.parameters())
    for_one = sum(weight.numel() * weight.element_size() for weight in weights) / EDITS_IN_THE_SIZE_OF_THE_WEIGHTS
    fitting = int(SHARE_OF_FREE_MEMORY * free / for_one)
    return min(MOST, 1 << max(0, fitting.bit_length() - 1))
