"""MEND: a trained network turns the gradient of a fact into an edit."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_mend.parameters import MendParams

MEND = "Mitchell et al., Fast Model Editing at Scale, ICLR 2022"


def _mend(params: MendParams) -> Editor:
    from wildcore_mend.editor import Mend

    return Mend(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``mend``."""
    return [
        Offer("mend", _mend, MendParams, "a hyper-network, trained once, turns a fact's gradient into an edit", MEND)
    ]
