"""MEMIT: many facts written into the MLPs of several layers at once."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_memit.parameters import MemitParams

MEMIT = "Meng et al., Mass-Editing Memory in a Transformer, ICLR 2023"


def _memit(params: MemitParams) -> Editor:
    from wildcore_memit.editor import Memit

    return Memit(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``memit``."""
    return [Offer("memit", _memit, MemitParams, "least-squares update of MLP projections in several layers", MEMIT)]
