"""What happens inside an edit, for those who ask for it: losses, keys, values, as tensors with plain names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wildcore.types import EditRequest

if TYPE_CHECKING:
    from torch import Tensor


class Trace:
    """Collects what editors record of each request. There is one only where a trace was asked for."""

    def __init__(self) -> None:
        self._recorded: dict[EditRequest, dict[str, Tensor]] = {}

    def record(self, request: EditRequest, name: str, value: "Tensor | Sequence[float] | float") -> None:
        """Keep ``value`` of the edit of ``request`` under ``name``; what was kept under it before is replaced.

        The tensor is copied to the CPU, in its own dtype. Names are words joined by dots, such as "losses" and "key.5".
        """
        import torch  # heavy

        kept = torch.as_tensor(value).detach().to("cpu", copy=True)
        self._recorded.setdefault(request, {})[name] = kept

    def take(self, request: EditRequest) -> "dict[str, Tensor]":
        """Return what was recorded of ``request``, nothing where there is none, and forget it."""
        return self._recorded.pop(request, {})
