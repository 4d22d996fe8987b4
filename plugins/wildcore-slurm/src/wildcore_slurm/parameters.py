"""Parameters of the executor."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from wildcore import Params


class SubmititParams(Params):
    """Parameters of the executor ``submitit``."""

    cluster: Literal["auto", "local", "slurm"] = "auto"
    """Where jobs run: slurm, local (processes of this machine), or auto (slurm where there is one, else local)."""

    workers: int = Field(default=1, ge=1)
    """Jobs for each device. On a cluster of 64 GPUs: one device, cuda, and 64 workers."""

    partition: str | None = None
    """Slurm partition. Left out: the cluster's default."""

    minutes: int = Field(default=24 * 60, ge=1)
    """Time limit of a job in minutes. A job that reaches it is submitted again while cells are waiting."""

    memory: float = Field(default=64.0, gt=0)
    """Memory of a job in GB."""

    cpus: int = Field(default=4, ge=1)
    """CPU cores of a job."""

    gpus: int | None = Field(default=None, ge=0)
    """GPUs of a job. Left out: 1, or 0 for the device cpu. A local job always uses the device that it is given."""

    logs: Path | None = None
    """Folder for the output of the jobs. Left out: submitit-logs in the study's folder."""

    poll_seconds: float = Field(default=10.0, gt=0)
    """Seconds between two looks at the jobs and the study's folder."""
