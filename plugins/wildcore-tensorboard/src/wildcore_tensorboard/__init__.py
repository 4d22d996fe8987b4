"""Writes the numbers of a run as TensorBoard event files."""

from collections.abc import Iterable

from wildcore import Offer, Tracker, hookimpl, lazy
from wildcore_tensorboard.parameters import TensorBoardParams


@hookimpl
def wildcore_trackers() -> Iterable[Offer[Tracker]]:
    """Offer the tracker ``tensorboard``."""
    return [
        Offer(
            "tensorboard",
            lazy("wildcore_tensorboard.tracker:TensorBoard"),
            TensorBoardParams,
            "event files for TensorBoard, in a folder of this machine",
        )
    ]
