"""PMET: many facts written into the MLPs of several layers, with values that the attention helps to find."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_pmet.parameters import PmetParams

PMET = "Li et al., PMET: Precise Model Editing in a Transformer, AAAI 2024"


def _pmet(params: PmetParams) -> Editor:
    from wildcore_pmet.editor import Pmet

    return Pmet(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``pmet``."""
    return [Offer("pmet", _pmet, PmetParams, "MEMIT with values for the MLP alone, found beside the attention's", PMET)]
