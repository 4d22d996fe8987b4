"""ROME and R-ROME: rank-one model editing."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_rome.parameters import RomeParams, RRomeParams

ROME = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022"
R_ROME = "Gupta et al., Rebuilding ROME: Resolving Model Collapse during Sequential Model Editing, EMNLP 2024"


def _rome(params: RomeParams) -> Editor:
    from wildcore_rome.editor import Rome

    return Rome(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``rome`` and ``r-rome``."""
    return [
        Offer("rome", _rome, RomeParams, "rank-one update of one MLP projection at the subject's last token", ROME),
        Offer("r-rome", _rome, RRomeParams, "ROME with the same key everywhere in its update", R_ROME),
    ]
