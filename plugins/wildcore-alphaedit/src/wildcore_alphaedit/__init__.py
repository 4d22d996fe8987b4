"""AlphaEdit: updates that stay in the null space of ordinary keys, and preserve the keys of earlier edits."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_alphaedit.parameters import AlphaEditParams

ALPHAEDIT = "Fang et al., AlphaEdit: Null-Space Constrained Knowledge Editing for Language Models, ICLR 2025"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``alphaedit``."""
    summary = "update of MLP projections in several layers, projected onto the null space of ordinary keys"
    return [Offer("alphaedit", lazy("wildcore_alphaedit.editor:AlphaEdit"), AlphaEditParams, summary, ALPHAEDIT)]
