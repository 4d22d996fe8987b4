"""EMMET: many facts written exactly, in one update."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_emmet.parameters import EmmetParams

EMMET = "Gupta et al., A Unified Framework for Model Editing, Findings of EMNLP 2024"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``emmet``."""
    return [
        Offer(
            "emmet",
            lazy("wildcore_emmet.editor:Emmet"),
            EmmetParams,
            "ROME's exact update for many facts in one solve",
            EMMET,
        )
    ]
