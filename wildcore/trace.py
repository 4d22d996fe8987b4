"""Traces of what happens inside an edit, kept on request: losses, keys, values, as tensors with plain names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wildcore.types import EditRequest

if TYPE_CHECKING:
    from torch import Tensor


class Trace:
    """Collects what editors record for each request. It exists only if a trace was asked for."""

    def __init__(self) -> None:
        self._recorded: dict[EditRequest, dict[str, Tensor]] = {}

    def record(self, request: EditRequest, name: str, value: "Tensor | Sequence[float] | float") -> None:
        """Store ``value`` for the edit of ``request`` under ``name``, replacing an earlier value of that name.

        The tensor is copied to the CPU, in its own dtype. Names are words joined by dots, such as "losses" and "key.5".
        """
        import torch  # heavy

        kept = torch.as_tensor(value).detach().to("cpu", copy=True)
        self._recorded.setdefault(request, {})[name] = kept

    def take(self, request: EditRequest) -> "dict[str, Tensor]":
        """Return and remove what was recorded for ``request``; empty if there is nothing."""
        return self._recorded.pop(request, {})
