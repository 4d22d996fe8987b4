"""The executor: one job for each device, submitted again while cells are waiting."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from wildcore import CellQueue, Parameter, Place, Progress, UserError
from wildcore_slurm.job import run_worker
from wildcore_slurm.parameters import SubmititParams

FRUITLESS_JOBS = 5
"""A device is given up after this number of jobs in a row during which the number of waiting cells did not fall. It exceeds
the number of attempts after which a queue sets a cell aside that kills its workers."""
CANCEL_SECONDS = 15.0


@dataclass
class Slot:
    """A place for one job: its device, the job there, and the number of waiting cells when it was submitted."""

    device: str
    job: Any = None
    waiting_before: int = 0
    fruitless: int = 0

    @property
    def is_given_up(self) -> bool:
        """True if several jobs in a row ended here without success."""
        return self.fruitless >= FRUITLESS_JOBS


class SubmititExecutor:
    """Runs the queue's own worker command in jobs. The jobs share the study's folder, and nothing else."""

    def __init__(self, params: SubmititParams) -> None:
        self.params = params

    def execute(self, queue: CellQueue, devices: Sequence[str], progress: Progress) -> None:
        """Run cells until none is waiting and all jobs have ended. Interrupted, it cancels its jobs first.

        Raises ``UserError`` if jobs cannot be submitted, or end without having run a cell.
        """
        waiting = len(queue.waiting())
        if not waiting:
            return
        logs = (self.params.logs or queue.folder / "submitit-logs").absolute()
        submitter = Submitter(self.params, logs)
        slots = [Slot(device) for device in devices for _ in range(self.params.workers)]
        with progress.track("cells", waiting) as advance, _cancelled_at_end(slots):
            while waiting or any(slot.job is not None for slot in slots):
                for slot in slots:
                    _heed_end(slot, waiting, progress)
                if waiting and all(slot.is_given_up for slot in slots):
                    raise _no_worker(logs)
                for slot in _to_fill(slots, waiting):
                    slot.job, slot.waiting_before = submitter.submit(queue, slot.device), waiting
                time.sleep(self.params.poll_seconds)
                waiting = _advanced(queue, waiting, advance)


class Submitter:
    """Submits jobs to one cluster."""

    def __init__(self, params: SubmititParams, logs: Path) -> None:
        """Raises ``UserError`` if submitit or the cluster cannot be used."""
        self.params = params
        self.submitit = import_submitit()
        try:
            logs.mkdir(parents=True, exist_ok=True)
            cluster = None if params.cluster == "auto" else params.cluster
            self.executor = self.submitit.AutoExecutor(folder=logs / "%j", cluster=cluster)
        except (OSError, RuntimeError, ValueError) as error:
            raise _cannot_submit(params, error) from error
        self.is_local = self.executor.cluster == "local"

    def submit(self, queue: CellQueue, device: str) -> Any:
        """Submit a job that runs the worker command, and return it. Raises ``UserError`` if it is not accepted."""
        gpus = self.params.gpus if self.params.gpus is not None else int(device != "cpu")
        given = device if self.is_local or not device.startswith("cuda") else "cuda:0"  # a Slurm job sees only its own
        settings: dict[str, Any] = {
            "name": "wildcore",
            "timeout_min": self.params.minutes,
            "mem_gb": self.params.memory,
            "cpus_per_task": self.params.cpus,
            "gpus_per_node": 0 if self.is_local else gpus,
            "slurm_partition": self.params.partition,
        }
        try:
            self.executor.update_parameters(**{name: value for name, value in settings.items() if value is not None})
            return self.executor.submit(run_worker, list(queue.worker_command(given)), shows_all_gpus=self.is_local)
        except (OSError, RuntimeError, ValueError, self.submitit.core.utils.FailedJobError) as error:
            raise _cannot_submit(self.params, error) from error


def import_submitit() -> Any:
    """Return the module ``submitit``. Raises ``UserError`` if it cannot be imported."""
    try:
        return import_module("submitit")
    except ImportError as error:
        raise UserError(
            f"the package submitit cannot be imported ({error})",
            about="executor submitit",
            way_out="install it: pip install 'submitit>=1.5'",
        ) from error


def _to_fill(slots: Sequence[Slot], waiting: int) -> list[Slot]:
    """Return the free slots that need a job: no more than cells are waiting."""
    free = [slot for slot in slots if slot.job is None and not slot.is_given_up]
    return free[:waiting]


def _heed_end(slot: Slot, waiting: int, progress: Progress) -> None:
    """Free a slot whose job has ended, and count whether it was of use."""
    if slot.job is None or not slot.job.done():
        return
    if waiting < slot.waiting_before:
        slot.fruitless = 0
    else:
        slot.fruitless += 1
        progress.note(
            f"job {slot.job.job_id} on {slot.device} ended, and no fewer cells are waiting ({slot.job.state})"
        )
    slot.job = None


def _advanced(queue: CellQueue, before: int, advance: Callable[[int], None]) -> int:
    """Return how many cells are waiting, and show how many fewer they are."""
    now = len(queue.waiting())
    advance(max(0, before - now))
    return now


@contextmanager
def _cancelled_at_end(slots: Sequence[Slot]) -> Iterator[None]:
    """Cancel the jobs that are left when the context is left, and wait until they have ended."""
    try:
        yield
    finally:
        left = [slot.job for slot in slots if slot.job is not None]
        for job in left:
            job.cancel(check=False)
        end = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < end and not all(job.done(force_check=True) for job in left):
            time.sleep(0.2)


def _cannot_submit(params: SubmititParams, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300]
    return UserError(
        f"no job can be submitted ({reason})",
        about=Parameter("executor.cluster", params.cluster),
        way_out="run the command on a machine that submits jobs, or try it with the cluster local",
    )


def _no_worker(logs: Path) -> UserError:
    return UserError(
        (f"no worker can be started: {FRUITLESS_JOBS} jobs in a row ended on each device without finishing a cell"),
        about="executor submitit",
        way_out=("their output is in ", Place(logs)),
    )
