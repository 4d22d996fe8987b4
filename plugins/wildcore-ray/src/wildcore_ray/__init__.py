"""Runs the cells of a study on a Ray cluster."""

from collections.abc import Iterable

from wildcore import Executor, Offer, hookimpl, lazy
from wildcore_ray.parameters import RayParams


@hookimpl
def wildcore_executors() -> Iterable[Offer[Executor]]:
    """Offer the executor. Ray is imported when it is used."""
    return [
        Offer(
            "ray",
            lazy("wildcore_ray.executor:RayExecutor"),
            RayParams,
            summary="one Ray actor for each device and model, on this machine or on a cluster",
            cites="Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, OSDI 2018",
        )
    ]
