"""MEMIT: many facts written into the MLPs of several layers at once."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_memit.parameters import MemitParams

MEMIT = "Meng et al., Mass-Editing Memory in a Transformer, ICLR 2023"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``memit``."""
    return [
        Offer(
            "memit",
            lazy("wildcore_memit.editor:Memit"),
            MemitParams,
            "least-squares update of MLP projections in several layers",
            MEMIT,
        )
    ]
