"""GRACE: facts in a codebook beside one MLP projection, looked up by the activation at the prompt's end."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_grace.parameters import GraceParams

GRACE = "Hartvigsen et al., Aging with GRACE: Lifelong Model Editing with Discrete Key-Value Adaptors, NeurIPS 2023"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``grace``."""
    return [
        Offer(
            "grace",
            lazy("wildcore_grace.editor:Grace"),
            GraceParams,
            "codebook of keys and values beside one MLP projection",
            GRACE,
        )
    ]
