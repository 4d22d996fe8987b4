"""IKE: facts edited in context."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_ike.parameters import IkeParams

ZHENG = "Zheng et al., Can We Edit Factual Knowledge by In-Context Learning?, EMNLP 2023"


def _ike(params: IkeParams) -> Editor:
    from wildcore_ike.editor import Ike

    return Ike(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``ike``."""
    summary = "puts the new fact and demonstrations of edits before the question; no weight changes"
    return [Offer("ike", _ike, IkeParams, summary, ZHENG)]
