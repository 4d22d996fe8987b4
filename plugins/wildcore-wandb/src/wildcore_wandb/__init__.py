"""Sends the numbers of a run to Weights & Biases."""

from collections.abc import Iterable

from wildcore import Offer, Tracker, hookimpl, lazy
from wildcore_wandb.parameters import WandbParams


@hookimpl
def wildcore_trackers() -> Iterable[Offer[Tracker]]:
    """Offer the tracker ``wandb``."""
    return [
        Offer(
            "wandb",
            lazy("wildcore_wandb.tracker:Wandb"),
            WandbParams,
            "Weights & Biases, or its files on this machine if WANDB_MODE is offline",
        )
    ]
