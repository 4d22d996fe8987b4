"""PMET: many facts written into the MLPs of several layers, with values that the attention helps to find."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_pmet.parameters import PmetParams

PMET = "Li et al., PMET: Precise Model Editing in a Transformer, AAAI 2024"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``pmet``."""
    return [
        Offer(
            "pmet",
            lazy("wildcore_pmet.editor:Pmet"),
            PmetParams,
            "MEMIT with values for the MLP alone, found beside the attention's",
            PMET,
        )
    ]
