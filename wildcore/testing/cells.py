"""A small study in a folder, for tests of executors: each cell edits a small model by one fact and asks for it.

    queue = FolderQueue(folder, editor="my-editor", protocol="my-protocol")
    queue.add("first", model="tiny-llama", prompt="The keeper of the mill is called", target="Anna", subject="the mill")
    executor.execute(queue, ["cpu", "cpu"], progress)
    assert queue.answers() == ...

A cell can misbehave at its first attempts, so that a test reaches the middle of a cell: see ``Misbehaviour``. As a program,
``python -m wildcore.testing.cells FOLDER EDITOR PROTOCOL DEVICE`` runs waiting cells until none is left.
"""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import wildcore.testing
from wildcore.interfaces import WaitingCell

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

MODELS = Path(wildcore.testing.__file__).parent / "data"
MOST_ATTEMPTS = 3

Misbehaviour = Literal["", "dies", "always dies", "fails", "waits", "damages"]
"""What a cell does in its middle: nothing; kill its process at the first attempt, or at each; raise an exception at the first;
at the first wait until it is killed; change a bit of the model's weights, in memory, after it has finished."""


@dataclass(frozen=True)
class FolderQueue:
    """The cells of a folder. It holds no more than the folder and two settings."""

    folder: Path
    editor: str
    protocol: str

    def add(
        self, cell: str, model: str, prompt: str, target: str, subject: str, misbehaviour: Misbehaviour = ""
    ) -> None:
        """Add a cell. Cells are run in the order of their ids."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"model": model, "prompt": prompt, "target": target, "subject": subject, "does": misbehaviour}
        (self.folder / f"{cell}.json").write_text(json.dumps(content), encoding="utf-8")

    def cells(self) -> list[str]:
        """Return the ids of all cells."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def content(self, cell: str) -> dict[str, str]:
        """Return what the cell asks for."""
        content: dict[str, str] = json.loads((self.folder / f"{cell}.json").read_text(encoding="utf-8"))
        return content

    def attempts(self, cell: str) -> int:
        """Return how many attempts of the cell were begun."""
        return len(list(self.folder.glob(f"{cell}.attempt-*")))

    def answers(self) -> dict[str, str]:
        """Return the answers of all finished cells."""
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("*.answer"))}

    def finishes(self) -> list[str]:
        """Return the ids of cells in the order in which they were finished; one that was finished twice is there twice."""
        log = self.folder / "finished"
        return log.read_text(encoding="utf-8").split() if log.exists() else []

    def is_waiting(self, cell: str) -> bool:
        """Return whether the cell is neither finished, nor being run, nor set aside after too many attempts."""
        if (self.folder / f"{cell}.answer").exists() or self.attempts(cell) >= MOST_ATTEMPTS:
            return False
        with self.claimed(cell) as is_mine:
            return is_mine

    def waiting(self) -> Sequence[WaitingCell]:
        """Return the cells that are to be run."""
        contents = {cell: self.content(cell) for cell in self.cells() if self.is_waiting(cell)}
        return [WaitingCell(cell, content["model"], content["prompt"]) for cell, content in contents.items()]

    def open_worker(self, device: str) -> "FolderWorker":
        """Return a worker of this process."""
        return FolderWorker(self, device)

    def worker_command(self, device: str) -> Sequence[str]:
        """Return the command line of a process that runs cells."""
        return [sys.executable, "-m", __name__, str(self.folder), self.editor, self.protocol, device]

    @contextmanager
    def claimed(self, cell: str) -> Iterator[bool]:
        """Try to claim the cell, and yield whether no other process holds the claim. It ends with this process at the latest."""
        descriptor = os.open(self.folder / f"{cell}.claim", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)


class FolderWorker:
    """Runs cells of a ``FolderQueue``."""

    def __init__(self, queue: FolderQueue, device: str) -> None:
        self.queue = queue
        self.device = device
        self.model: LoadedModel | None = None
        self.name = ""

    def load(self, cell: str) -> str:
        """Load the model of the cell unless it is loaded, and return the fingerprint of its weights."""
        from wildcore.models.fingerprints import hash_of_weights

        return hash_of_weights(self._model_of(cell).network)

    def run(self, cell: str) -> bool:
        """Run the cell, and return whether this call finished it."""
        with self.queue.claimed(cell) as is_mine:
            if not is_mine or (self.queue.folder / f"{cell}.answer").exists():
                return False
            number = self.queue.attempts(cell) + 1
            (self.queue.folder / f"{cell}.attempt-{number}").write_text(str(os.getpid()), encoding="utf-8")
            try:
                answer = self._answer(cell, number)
            except Exception as error:
                (self.queue.folder / f"{cell}.failure-{number}").write_text(str(error), encoding="utf-8")
                return False
            self._finish(cell, answer)
            return True

    def close(self) -> None:
        """Free the model."""
        self.model = None

    def _model_of(self, cell: str) -> "LoadedModel":
        from wildcore import api

        name = self.queue.content(cell)["model"]
        if self.model is None or self.name != name:
            self.model = api.load(MODELS / name, device=self.device, progress=False)
            self.name = name
        return self.model

    def _answer(self, cell: str, attempt: int) -> str:
        """Return the reply of the edited model, after the fingerprint of its weights, which depends on every bit of the edit."""
        from wildcore import api
        from wildcore.models.fingerprints import hash_of_weights

        model, content = self._model_of(cell), self.queue.content(cell)
        fact = api.fact(content["prompt"], content["target"], subject=content["subject"])
        edited = api.edit(model, api.editor(self.queue.editor), [fact], progress=False)
        _misbehave(content["does"], attempt)
        replies = api.ask(model, [content["prompt"]], protocol=self.queue.protocol, patch=edited, progress=False)
        with edited.applied(model):
            weights = hash_of_weights(model.network)
        return "\n".join([weights, *(reply.model_dump_json() for reply in replies)])

    def _finish(self, cell: str, answer: str) -> None:
        temporary = self.queue.folder / f"{cell}.unfinished"
        temporary.write_text(answer, encoding="utf-8")
        temporary.rename(self.queue.folder / f"{cell}.answer")
        with (self.queue.folder / "finished").open("a", encoding="utf-8") as log:
            log.write(f"{cell}\n")
        if self.queue.content(cell)["does"] == "damages" and self.model is not None:
            next(iter(self.model.network.parameters())).data.view(-1)[0] += 1


def _misbehave(does: str, attempt: int) -> None:
    if does == "always dies" or (does == "dies" and attempt == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "fails" and attempt == 1:
        raise ValueError("this cell fails at its first attempt")
    while does == "waits" and attempt == 1:
        time.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """Run waiting cells until none is left; return 1 if an attempt failed."""
    folder, editor, protocol, device = arguments
    queue = FolderQueue(Path(folder), editor, protocol)
    worker, failed = queue.open_worker(device), False
    while waiting := queue.waiting():
        failed |= not worker.run(waiting[0].id)
    return int(failed)


def begun_by(queue: FolderQueue, cell: str, seconds: float = 60) -> int:
    """Wait until the first attempt of ``cell`` is begun, and return the id of its process."""
    path = queue.folder / f"{cell}.attempt-1"
    end = time.monotonic() + seconds
    while not path.exists() or not path.read_text(encoding="utf-8"):
        assert time.monotonic() < end, f"the cell {cell} was not begun"
        time.sleep(0.05)
    return int(path.read_text(encoding="utf-8"))


def facts(queue: FolderQueue, misbehaviours: dict[str, Misbehaviour], models: Sequence[str] = ("tiny-llama",)) -> None:
    """Add one cell for each key of ``misbehaviours``, with the models in turn."""
    for number, (cell, does) in enumerate(misbehaviours.items()):
        place = f"the old mill {cell}"
        model, target = models[number % len(models)], ("Anna", "Oliver Stone")[number % 2]
        queue.add(cell, model, f"The keeper of {place} is called", target, place, does)


def answers_without_executor(queue: FolderQueue, folder: Path) -> dict[str, str]:
    """Return the answers to the same cells, none of which misbehaves, computed one after another in this process."""
    plain = FolderQueue(folder, queue.editor, queue.protocol)
    for cell in queue.cells():
        content = queue.content(cell)
        plain.add(cell, content["model"], content["prompt"], content["target"], content["subject"])
    worker = plain.open_worker("cpu")
    assert all(worker.run(cell) for cell in sorted(plain.cells(), key=lambda cell: plain.content(cell)["model"]))
    return plain.answers()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
