"""LoRA: low-rank adapters trained on the facts to write."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_lora.parameters import LoraParams

LORA = "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``lora``."""
    return [
        Offer(
            "lora",
            lazy("wildcore_lora.editor:Lora"),
            LoraParams,
            "trains low-rank adapters on the target's tokens, the prompt masked",
            LORA,
        )
    ]
