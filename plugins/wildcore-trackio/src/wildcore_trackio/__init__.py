"""Sends the numbers of a run to trackio."""

from collections.abc import Iterable

from wildcore import Offer, Tracker, hookimpl, lazy
from wildcore_trackio.parameters import TrackioParams


@hookimpl
def wildcore_trackers() -> Iterable[Offer[Tracker]]:
    """Offer the tracker ``trackio``."""
    return [
        Offer(
            "trackio",
            lazy("wildcore_trackio.tracker:Trackio"),
            TrackioParams,
            "trackio, in a folder of this machine or where its environment variables say",
        )
    ]
