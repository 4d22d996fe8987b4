"""Parameters of the executor."""

from pydantic import Field

from wildcore import Params


class RayParams(Params):
    """Parameters of the executor ``ray``."""

    address: str | None = None
    """Address HOST:PORT of a running cluster, or "auto" for the one on this machine. Left out: a cluster is started on
    this machine, and stopped at the end."""

    workers: int = Field(default=1, ge=1)
    """Workers for each device. On a cluster of 64 GPUs: one device, cuda, and 64 workers."""

    cpus: float = Field(default=1.0, ge=0)
    """CPU cores that each worker reserves."""

    gpus: float | None = Field(default=None, ge=0)
    """GPUs that each worker reserves. Left out: 1 if its device is a GPU, or is chosen automatically in a cluster that has
    GPUs; else 0."""

    max_restarts: int = Field(default=3, ge=0)
    """How often Ray restarts a worker that died. After that it is replaced by a new worker while cells are waiting."""

    start_seconds: float = Field(default=300.0, gt=0)
    """Seconds after which the run ends with an error if no worker could be started or restarted."""
