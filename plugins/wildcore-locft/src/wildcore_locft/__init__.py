"""LocFT-BF: fine-tuning in epochs of mini-batches over all requests, at a location tuned for the model."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_locft.parameters import LocFTParams

LOCFT = "Yang et al., Fine-tuning Done Right in Model Editing, ICLR 2026"


def _locft(params: LocFTParams) -> Editor:
    from wildcore_locft.editor import LocFT

    return LocFT(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``locft``."""
    return [Offer("locft", _locft, LocFTParams, "fine-tunes one layer in epochs of mini-batches over all facts", LOCFT)]
