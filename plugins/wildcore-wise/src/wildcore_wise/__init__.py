"""WISE: facts written into a side memory, a copy of one MLP projection that takes over for the prompts it was trained on."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_wise.parameters import WiseParams

WISE = "Wang et al., WISE: Rethinking the Knowledge Memory for Lifelong Model Editing of Large Language Models, NeurIPS 2024"


def _wise(params: WiseParams) -> Editor:
    from wildcore_wise.editor import Wise

    return Wise(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``wise``."""
    return [Offer("wise", _wise, WiseParams, "side memories of one MLP projection, chosen by activation", WISE)]
