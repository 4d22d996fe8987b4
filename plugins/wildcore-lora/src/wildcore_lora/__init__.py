"""LoRA: low-rank adapters trained on the facts to write."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_lora.parameters import LoraParams

LORA = "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022"


def _lora(params: LoraParams) -> Editor:
    from wildcore_lora.editor import Lora

    return Lora(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``lora``."""
    return [
        Offer("lora", _lora, LoraParams, "trains low-rank adapters on the target's tokens, the prompt masked", LORA)
    ]
