"""RECT: only the largest relative changes of an update are kept."""

from collections.abc import Iterable

from wildcore import Offer, Transform, hookimpl
from wildcore_rect.parameters import RectParams

GU = "Gu et al., Model Editing Harms General Abilities of Large Language Models: Regularization to the Rescue, EMNLP 2024"


def _rect(params: RectParams) -> Transform:
    from wildcore_rect.transform import Rect

    return Rect(params.share)


@hookimpl
def wildcore_transforms() -> Iterable[Offer[Transform]]:
    """Offer ``rect``."""
    return [Offer("rect", _rect, RectParams, "makes only the largest relative changes of an update", GU)]
