"""UltraEdit: one closed-form update from hidden states and gradients, normalised by statistics of all edits so far."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_ultraedit.parameters import UltraEditParams

ULTRAEDIT = "Gu et al., UltraEdit: Training-, Subject-, and Memory-Free Lifelong Editing in Language Models, TMLR 2026"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``ultraedit``."""
    summary = "one closed-form update from normalised hidden states and gradients"
    return [Offer("ultraedit", lazy("wildcore_ultraedit.editor:UltraEdit"), UltraEditParams, summary, ULTRAEDIT)]
