"""The executor: keeps one actor for each device, moves it to another model when its own has no more cells, replaces it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wildcore import CellQueue, Parameter, Progress, UserError, WaitingCell
from wildcore_ray.actor import CellActor, Opened, Turn
from wildcore_ray.cluster import connected
from wildcore_ray.parameters import RayParams

POLL_SECONDS = 1.0
RESERVE_LESS = ("reserve less for each worker with ", Parameter("executor.cpus"), " and ", Parameter("executor.gpus"))
FAILED_STARTS = 3
"""A device is given up after this number of failed starts in a row."""


@dataclass
class Slot:
    """A place for one worker: its device, and the actor there. ``pending`` is the call whose answer is awaited; while
    ``is_open`` is false, it is that for whether the actor is ready.
    """

    device: str
    actor: Any = None
    model: str = ""
    pending: Any = None
    is_open: bool = False
    failed_starts: int = 0

    @property
    def is_given_up(self) -> bool:
        """True if no worker could be started here several times in a row."""
        return self.failed_starts >= FAILED_STARTS


class RayExecutor:
    """Runs cells in actors of a Ray cluster. Nothing but cell ids and short states passes through Ray."""

    def __init__(self, params: RayParams) -> None:
        self.params = params

    def execute(self, queue: CellQueue, devices: Sequence[str], progress: Progress) -> None:
        """Run cells until none is waiting. Interrupted, it kills its actors first, then stops a cluster that it started.

        Raises ``UserError`` if the cluster cannot be used, or if no worker can be started on any device.
        """
        waiting = queue.waiting()
        if not waiting:
            return
        slots = [Slot(device) for device in devices for _ in range(self.params.workers)]
        with (
            connected(self.params.address, len(slots), self.params.cpus) as ray,
            progress.track("cells", len(waiting)) as advance,
        ):
            crew = Crew(ray, self.params, queue, slots, progress)
            with crew.killed_at_end():
                crew.work(advance)


class Crew:
    """The actors of one study. ``fingerprints`` holds that of each model as its first actor computed it: the weights of all
    others, on whatever machine, must be the same.
    """

    def __init__(
        self, ray: Any, params: RayParams, queue: CellQueue, slots: Sequence[Slot], progress: Progress
    ) -> None:
        self.ray = ray
        self.params = params
        self.queue = queue
        self.slots = slots
        self.progress = progress
        self.fingerprints: dict[str, str] = {}
        self.last_problem: UserError | None = None
        self.last_answer = time.monotonic()

    @contextmanager
    def killed_at_end(self) -> Iterator[None]:
        """Kill all actors when the context is left, whatever the reason."""
        try:
            yield
        finally:
            for slot in self.slots:
                self._dismiss(slot)

    def work(self, advance: Callable[[int], None]) -> None:
        """Run cells until none is waiting and no actor runs one."""
        while True:
            waiting = self.queue.waiting()
            for slot in self.slots:
                if waiting and slot.pending is None and not slot.is_given_up:
                    self._open(slot, waiting)
            if not waiting and not any(slot.is_open and slot.pending is not None for slot in self.slots):
                return
            self._require_workers()
            advance(sum(self._heed(slot) for slot in self._answered()))

    def _answered(self) -> list[Slot]:
        """Wait a moment, and return the slots whose call has an answer."""
        by_call = {slot.pending: slot for slot in self.slots if slot.pending is not None}
        answered, _ = self.ray.wait(list(by_call), num_returns=1, timeout=POLL_SECONDS)
        return [by_call[call] for call in answered]

    def _open(self, slot: Slot, waiting: Sequence[WaitingCell]) -> None:
        """Start an actor for the model that has the most waiting cells for each of its actors: so few models are loaded."""
        actors = Counter(other.model for other in self.slots if other.actor is not None)
        cells = Counter(cell.model for cell in waiting)
        slot.model = max(cells, key=lambda model: cells[model] / (1 + actors[model]))
        gpus = self._gpus(slot.device)
        options = {"num_cpus": self.params.cpus, "num_gpus": gpus, "max_restarts": self.params.max_restarts}
        device = "cuda:0" if gpus and slot.device.startswith("cuda") else slot.device  # Ray shows a worker only its own
        slot.actor = self.ray.remote(CellActor).options(**options).remote(self.queue, device, slot.model)
        slot.pending, slot.is_open = slot.actor.opened.remote(), False

    def _gpus(self, device: str) -> float:
        if self.params.gpus is not None:
            return self.params.gpus
        return float(device.startswith("cuda") or (device == "auto" and self.ray.cluster_resources().get("GPU", 0) > 0))

    def _heed(self, slot: Slot) -> int:
        """Take the answer of an actor and give it more to do; return how many cells it finished: 0 or 1."""
        try:
            answer = self.ray.get(slot.pending)
        except self.ray.exceptions.ActorUnavailableError:  # died, and is restarted by Ray
            slot.pending, slot.is_open = slot.actor.opened.remote(), False
            return 0
        except self.ray.exceptions.RayActorError as error:
            self._replace_dead(slot, error)
            return 0
        except self.ray.exceptions.RayTaskError as error:
            self._fail(slot, UserError(f"a worker failed: {' '.join(str(error.cause).split())[:300]}", "executor ray"))
            return 0
        self.last_answer = time.monotonic()
        return self._go_on(slot, answer)

    def _go_on(self, slot: Slot, answer: Opened | Turn) -> int:
        if isinstance(answer, Opened) and answer.problem is not None:
            slot.failed_starts += (FAILED_STARTS - 1) * answer.is_final
            self._fail(slot, answer.problem)
            return 0
        if answer.fingerprint is None or (isinstance(answer, Turn) and answer.cell is None):
            self._dismiss(slot)  # no cell of this model is waiting
            return 0
        expected = self.fingerprints.setdefault(slot.model, answer.fingerprint)
        if answer.fingerprint != expected:
            self._fail(slot, _other_weights(slot.model, expected, answer.fingerprint))
            return 0
        slot.pending, slot.is_open = slot.actor.run_next.remote(expected), True
        if isinstance(answer, Opened):
            return 0
        slot.failed_starts = 0
        return int(answer.finished)

    def _replace_dead(self, slot: Slot, error: Exception) -> None:
        """Note that an actor died for good. One that died before it was open counts as a failed start."""
        if slot.is_open:
            self.progress.note(f"a worker on {slot.device} died and is replaced")
            self._dismiss(slot)
        else:
            reason = " ".join(str(error).split())[:300]
            self._fail(slot, UserError(f"a worker died while it was started: {reason}", "executor ray"))

    def _fail(self, slot: Slot, problem: UserError) -> None:
        """Dismiss an actor that cannot be used. Raises ``UserError`` if all devices are given up."""
        self.last_problem = problem
        slot.failed_starts += 1
        self._dismiss(slot)
        if all(other.is_given_up for other in self.slots):
            raise _no_worker(problem) from problem
        if slot.is_given_up:
            self.progress.note(f"{slot.device}: no worker can be started there; the other devices go on ({problem})")

    def _dismiss(self, slot: Slot) -> None:
        if slot.actor is not None:
            self.ray.kill(slot.actor, no_restart=True)
        slot.actor, slot.pending, slot.is_open, slot.model = None, None, False, ""

    def _require_workers(self) -> None:
        """Raise ``UserError`` if no actor is open and none has answered for too long: the cluster has no room."""
        if any(slot.is_open for slot in self.slots):
            self.last_answer = time.monotonic()
        if time.monotonic() - self.last_answer > self.params.start_seconds:
            free = self.ray.available_resources()
            room = f"the cluster has {free.get('CPU', 0):g} free CPU cores and {free.get('GPU', 0):g} free GPUs"
            late = UserError(f"none was ready after {self.params.start_seconds:g} s; {room}", way_out=RESERVE_LESS)
            reason = self.last_problem or late
            raise _no_worker(reason) from reason


def _other_weights(model: str, expected: str, found: str) -> UserError:
    return UserError(
        f"the weights that a worker loaded have the fingerprint {found}, those of the first worker {expected}",
        about=f"model {model}",
        way_out="give all machines the same files",
    )


def _no_worker(reason: UserError) -> UserError:
    return UserError(
        (
            "no worker can be started: ",
            reason.problem if reason.about is None else (reason.about, ": ", reason.problem),
        ),
        about="executor ray",
        way_out=reason.way_out,
    )
