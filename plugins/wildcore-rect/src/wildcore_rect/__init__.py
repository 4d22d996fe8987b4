"""RECT: only the largest relative changes of an update are kept."""

from collections.abc import Iterable

from wildcore import Offer, Transform, hookimpl, lazy
from wildcore_rect.parameters import RectParams

GU = "Gu et al., Model Editing Harms General Abilities of Large Language Models: Regularization to the Rescue, EMNLP 2024"


@hookimpl
def wildcore_transforms() -> Iterable[Offer[Transform]]:
    """Offer ``rect``."""
    return [
        Offer(
            "rect",
            lazy("wildcore_rect.transform:Rect"),
            RectParams,
            "makes only the largest relative changes of an update",
            GU,
        )
    ]
