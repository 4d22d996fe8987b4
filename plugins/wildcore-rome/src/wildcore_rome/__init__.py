"""ROME and R-ROME: rank-one model editing."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_rome.parameters import RomeParams, RRomeParams

ROME = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022"
R_ROME = "Gupta et al., Rebuilding ROME: Resolving Model Collapse during Sequential Model Editing, EMNLP 2024"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``rome`` and ``r-rome``."""
    return [
        Offer(
            "rome",
            lazy("wildcore_rome.editor:Rome"),
            RomeParams,
            "rank-one update of one MLP projection at the subject's last token",
            ROME,
        ),
        Offer(
            "r-rome",
            lazy("wildcore_rome.editor:Rome"),
            RRomeParams,
            "ROME with the same key everywhere in its update",
            R_ROME,
        ),
    ]
