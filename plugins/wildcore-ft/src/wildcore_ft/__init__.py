"""FT-M and FT-L: fine-tuning one MLP projection on one fact."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_ft.parameters import FTLParams, FTMParams

FT_M = "Zhang et al., A Comprehensive Study of Knowledge Editing for Large Language Models, 2024"
FT_L = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022 (the baseline FT+L)"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``ft-m`` and ``ft-l``."""
    return [
        Offer(
            "ft-m",
            lazy("wildcore_ft.editor:FTM"),
            FTMParams,
            "fine-tunes one MLP projection on the target's tokens, the prompt masked",
            FT_M,
        ),
        Offer(
            "ft-l",
            lazy("wildcore_ft.editor:FTL"),
            FTLParams,
            "fine-tunes one MLP projection, all target tokens asked of one position",
            FT_L,
        ),
    ]
