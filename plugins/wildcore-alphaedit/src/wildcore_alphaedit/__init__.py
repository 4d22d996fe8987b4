"""AlphaEdit: updates that stay in the null space of what ordinary text uses, and off the keys of earlier edits."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_alphaedit.parameters import AlphaEditParams

ALPHAEDIT = "Fang et al., AlphaEdit: Null-Space Constrained Knowledge Editing for Language Models, ICLR 2025"


def _alphaedit(params: AlphaEditParams) -> Editor:
    from wildcore_alphaedit.editor import AlphaEdit

    return AlphaEdit(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``alphaedit``."""
    summary = "update of MLP projections in several layers, projected onto the null space of ordinary keys"
    return [Offer("alphaedit", _alphaedit, AlphaEditParams, summary, ALPHAEDIT)]
