"""UltraEdit: one closed-form update from hidden states and gradients, normalised by statistics of all edits so far."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_ultraedit.parameters import UltraEditParams

ULTRAEDIT = "Gu et al., UltraEdit: Training-, Subject-, and Memory-Free Lifelong Editing in Language Models, TMLR 2026"


def _ultraedit(params: UltraEditParams) -> Editor:
    from wildcore_ultraedit.editor import UltraEdit

    return UltraEdit(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``ultraedit``."""
    summary = "one closed-form update from normalised hidden states and gradients"
    return [Offer("ultraedit", _ultraedit, UltraEditParams, summary, ULTRAEDIT)]
