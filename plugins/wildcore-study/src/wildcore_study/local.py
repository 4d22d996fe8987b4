"""The executor for one machine: a process for each device, each with a model of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO

import psutil

from wildcore import CellQueue, Progress, UserError

POLL_SECONDS = 0.5
STOP_SECONDS = 60.0
FRUITLESS_PROCESSES = 5
"""A device is given up after this number of processes in a row during which the number of waiting runs did not fall. It exceeds
the number of attempts after which a run that kills its workers is set aside."""


@dataclass
class Slot:
    """A device, and the process that works on it. ``output`` is the file to which the process prints: unlike a pipe, it outlives
    this process, so that the workers go on if this process is killed. ``read`` is the number of its bytes that were repeated.
    """

    device: str
    process: "subprocess.Popen[bytes] | None" = None
    output: IO[bytes] | None = None
    read: int = 0
    waiting_before: int = 0
    fruitless: int = 0
    last_lines: list[str] = field(default_factory=list)


class LocalExecutor:
    """Runs the queue's worker command once for each device, and again if it dies while runs are waiting."""

    def execute(self, queue: CellQueue, devices: Sequence[str], progress: Progress) -> None:
        """Make runs until none is waiting and all processes have ended. Interrupted, it interrupts its processes and waits
        until they have saved their work.

        Raises ``UserError`` if every device was given up.
        """
        first = waiting = len(queue.waiting())
        done = 0
        slots = [Slot(device) for device in devices]
        with progress.track("runs", first) as advance, _ended_at_last(slots, progress):
            while waiting or any(slot.process is not None for slot in slots):
                for slot in slots:
                    _repeat(slot, progress)
                    _heed_end(slot, waiting, progress)
                usable = [slot for slot in slots if slot.fruitless < FRUITLESS_PROCESSES]
                if not usable:
                    raise UserError(
                        f"no worker can be started; the last one said: {' / '.join(slots[0].last_lines[-3:])}",
                        about="executor local",
                    )
                idle = [slot for slot in usable if slot.process is None]
                for slot in idle[:waiting]:
                    _start(slot, queue, waiting, progress, len(devices))
                time.sleep(POLL_SECONDS)
                waiting = len(queue.waiting())
                working = sum(slot.process is not None for slot in slots)
                if (more := first - waiting - working - done) > 0:  # a run that was taken is not finished yet
                    advance(more)
                    done += more


def _start(slot: Slot, queue: CellQueue, waiting: int, progress: Progress, devices: int) -> None:
    environment = dict(os.environ)
    if slot.device == "cpu" and devices > 1:  # otherwise each process takes all cores
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (psutil.cpu_count() or 1) // devices)))
    slot.output = TemporaryFile()  # noqa: SIM115 -- ``_repeat`` closes it after the end
    slot.waiting_before, slot.read, slot.last_lines = waiting, 0, []
    slot.process = subprocess.Popen(
        queue.worker_command(as_its_own(slot.device, environment)),
        env=environment,
        stdout=slot.output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
    )


def as_its_own(device: str, environment: dict[str, str]) -> str:
    """Return the name of a device for a process that sees no other GPU, which is then set in its environment.

    A process that sees one GPU takes no memory on another.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda" or not index.isdecimal():
        return device
    seen = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if seen and int(index) >= len(seen):
        return device  # loading the model says that there is no such device
    environment["CUDA_VISIBLE_DEVICES"] = seen[int(index)] if seen else index
    return "cuda:0"


def _repeat(slot: Slot, progress: Progress) -> None:
    """Repeat the lines that a process has printed since the last call, behind the name of its device."""
    if slot.process is None or slot.output is None:
        return
    has_ended = slot.process.poll() is not None
    # read without the file's position, which is the process's own too
    new = os.pread(slot.output.fileno(), os.fstat(slot.output.fileno()).st_size - slot.read, slot.read)
    whole = new if has_ended else new[: new.rfind(b"\n") + 1]
    slot.read += len(whole)
    line = getattr(progress, "line", None)
    for text in whole.decode(errors="replace").splitlines():
        slot.last_lines = [*slot.last_lines, text.rstrip()][-10:]
        if line is not None:
            line(f"{slot.device} | {text.rstrip()}")
    if has_ended:
        slot.output.close()
        slot.output = None


def _heed_end(slot: Slot, waiting: int, progress: Progress) -> None:
    """Free a slot whose process has ended, and count whether it was of use."""
    if slot.process is None or slot.output is not None:
        return
    slot.fruitless = 0 if waiting < slot.waiting_before else slot.fruitless + 1
    if slot.process.returncode < 0:
        progress.note(f"the worker on {slot.device} was ended by signal {-slot.process.returncode}")
    slot.process = None


@contextmanager
def _ended_at_last(slots: Sequence[Slot], progress: Progress) -> Iterator[None]:
    """Interrupt the processes that are left when the context is left; kill those that take too long to save their work."""
    try:
        yield
    finally:
        left = [slot.process for slot in slots if slot.process is not None and slot.process.poll() is None]
        for process in left:
            process.send_signal(signal.SIGINT)
        end = time.monotonic() + STOP_SECONDS
        for process in left:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for slot in slots:
            _repeat(slot, progress)
