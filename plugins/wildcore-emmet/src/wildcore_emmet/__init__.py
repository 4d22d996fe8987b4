"""EMMET: many facts written exactly, in one update."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_emmet.parameters import EmmetParams

EMMET = "Gupta et al., A Unified Framework for Model Editing, Findings of EMNLP 2024"


def _emmet(params: EmmetParams) -> Editor:
    from wildcore_emmet.editor import Emmet

    return Emmet(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``emmet``."""
    return [Offer("emmet", _emmet, EmmetParams, "ROME's exact update for many facts in one solve", EMMET)]
