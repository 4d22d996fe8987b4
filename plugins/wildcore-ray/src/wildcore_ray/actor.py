"""What runs in a worker process of Ray: an actor that holds one model and pulls the cells that use it."""

from dataclasses import dataclass

from wildcore import CellQueue, UserError


@dataclass(frozen=True)
class Opened:
    """Whether an actor is ready: the fingerprint of its model, or the reason why it is not. ``is_final``: bad input, which
    another attempt does not mend.
    """

    fingerprint: str | None = None
    problem: UserError | None = None
    is_final: bool = False


@dataclass(frozen=True)
class Turn:
    """One call of ``CellActor.run_next``: the cell that was tried (None: none was waiting), whether this call finished it,
    and the fingerprint of the model before.
    """

    cell: str | None
    finished: bool
    fingerprint: str


class CellActor:
    """Pulls the waiting cells of one model. Ray makes it anew after it died, which loads the model from disk again.

    Only ids, fingerprints and messages are returned; results go to the study's folder.
    """

    def __init__(self, queue: CellQueue, device: str, model: str) -> None:
        """Open the worker and load the model. Failures are kept for ``opened``, because Ray would wrap them."""
        self.queue = queue
        self.model = model
        try:
            self.worker = queue.open_worker(device)
            first = self._next()
            self.state = Opened(fingerprint=None if first is None else self.worker.load(first))
        except UserError as error:
            self.state = Opened(problem=error, is_final=True)
        except Exception as error:
            self.state = Opened(problem=UserError(f"{type(error).__name__}: {error}", "opening a worker"))

    def opened(self) -> Opened:
        """Return whether the model is loaded."""
        return self.state

    def run_next(self, expected: str) -> Turn:
        """Run the first waiting cell of the model, unless the weights no longer have the ``expected`` fingerprint."""
        cell = self._next()
        if cell is None:
            return Turn(None, False, expected)
        found = self.worker.load(cell)
        return Turn(cell, found == expected and self.worker.run(cell), found)

    def _next(self) -> str | None:
        return next((cell.id for cell in self.queue.waiting() if cell.model == self.model), None)
