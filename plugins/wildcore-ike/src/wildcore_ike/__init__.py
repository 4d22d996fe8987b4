"""IKE: facts edited in context."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_ike.parameters import IkeParams

ZHENG = "Zheng et al., Can We Edit Factual Knowledge by In-Context Learning?, EMNLP 2023"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``ike``."""
    summary = "puts the new fact and demonstrations of edits before the question; no weight changes"
    return [Offer("ike", lazy("wildcore_ike.editor:Ike"), IkeParams, summary, ZHENG)]
