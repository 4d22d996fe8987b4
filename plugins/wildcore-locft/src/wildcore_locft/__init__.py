"""LocFT-BF: fine-tuning in epochs of mini-batches over all requests, in a layer and module chosen for the model."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_locft.parameters import LocFTParams

LOCFT = "Yang et al., Fine-tuning Done Right in Model Editing, ICLR 2026"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``locft``."""
    return [
        Offer(
            "locft",
            lazy("wildcore_locft.editor:LocFT"),
            LocFTParams,
            "fine-tunes one layer in epochs of mini-batches over all facts",
            LOCFT,
        )
    ]
