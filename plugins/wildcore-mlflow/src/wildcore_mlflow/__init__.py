"""Sends the numbers of a run to MLflow."""

from collections.abc import Iterable

from wildcore import Offer, Tracker, hookimpl, lazy
from wildcore_mlflow.parameters import MlflowParams


@hookimpl
def wildcore_trackers() -> Iterable[Offer[Tracker]]:
    """Offer the tracker ``mlflow``."""
    return [
        Offer(
            "mlflow",
            lazy("wildcore_mlflow.tracker:Mlflow"),
            MlflowParams,
            "an MLflow server, or its store in a folder of this machine",
        )
    ]
