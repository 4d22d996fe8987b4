"""Runs the cells of a study as jobs of a Slurm cluster."""

from collections.abc import Iterable

from wildcore import Executor, Offer, hookimpl, lazy
from wildcore_slurm.parameters import SubmititParams


@hookimpl
def wildcore_executors() -> Iterable[Offer[Executor]]:
    """Offer the executor. submitit is imported when it is used."""
    return [
        Offer(
            "submitit",
            lazy("wildcore_slurm.executor:SubmititExecutor"),
            SubmititParams,
            summary="one Slurm job for each device, submitted again while cells are waiting",
            cites="submitit, github.com/facebookincubator/submitit",
        )
    ]
