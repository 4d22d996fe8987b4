"""MEND: a trained network turns the gradient of a fact into an edit."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_mend.parameters import MendParams

MEND = "Mitchell et al., Fast Model Editing at Scale, ICLR 2022"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``mend``."""
    return [
        Offer(
            "mend",
            lazy("wildcore_mend.editor:Mend"),
            MendParams,
            "a hyper-network, trained once, turns a fact's gradient into an edit",
            MEND,
        )
    ]
