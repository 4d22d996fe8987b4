"""WISE: facts are written into a side memory, a copy of one MLP projection that is used for the prompts it was trained on."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_wise.parameters import WiseParams

WISE = "Wang et al., WISE: Rethinking the Knowledge Memory for Lifelong Model Editing of Large Language Models, NeurIPS 2024"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``wise``."""
    return [
        Offer(
            "wise",
            lazy("wildcore_wise.editor:Wise"),
            WiseParams,
            "side memories of one MLP projection, chosen by activation",
            WISE,
        )
    ]
