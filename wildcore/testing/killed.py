"""Runs the ``wildcore`` command and kills it at its n-th file operation; run as ``python -m wildcore.testing.killed``.

A file operation is one that changes files below ``$KILLED_WITHIN``: opening for writing, writing, syncing, cutting off, renaming,
removing, making a file or folder, and each statement and commit of SQLite. The process is killed before the operation
number ``$KILLED_AT``, counted from 1; a write is done by half first. With ``$KILLED_AT`` 0 it is not killed, and the number of
operations is written to ``$KILLED_COUNT``.
"""

import os
import runpy
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.chmod")
"""Audit events of operations that change files; their first argument is a path."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Countdown:
    """Counts file operations below ``within``, and kills the process at number ``last``."""

    def __init__(self, within: Path, last: int) -> None:
        self.within = str(within.resolve())
        self.last = last
        self.count = 0
        self.paused = False

    def step(self, half: Callable[[], Any] = lambda: None) -> None:
        """Count an operation that comes next; if it is the last, do ``half`` of it and end."""
        if self.paused:
            return
        self.count += 1
        if self.count == self.last:
            self.paused = True
            half()
            os.kill(os.getpid(), signal.SIGKILL)

    def is_within(self, path: object) -> bool:
        """Return whether a path, or the file of a descriptor, lies below the folder."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self.within + os.sep)

    def heed(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count the operations that Python announces (``sys.addaudithook``)."""
        if self.paused or (event != "open" and event not in EVENTS):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        if self.is_within(arguments[0]):
            self.step()


def count_unannounced(countdown: Countdown) -> None:
    """Count the operations that Python does not announce: writing and syncing, SQLite, and what safetensors writes."""
    write, fsync, write_text = os.write, os.fsync, Path.write_text

    def counted_write(descriptor: int, content: bytes) -> int:
        if countdown.is_within(descriptor):
            countdown.step(lambda: write(descriptor, content[: len(content) // 2]))
        return write(descriptor, content)

    def counted_fsync(descriptor: int) -> None:
        if countdown.is_within(descriptor):
            countdown.step()
        fsync(descriptor)

    def counted_write_text(path: Path, data: str, *rest: Any, **named: Any) -> int:
        if countdown.is_within(path):
            countdown.step(lambda: write_text(path, data[: len(data) // 2], *rest, **named))
        return write_text(path, data, *rest, **named)

    os.write, os.fsync, Path.write_text = counted_write, counted_fsync, counted_write_text  # type: ignore[method-assign,assignment]
    _count_sqlite(countdown)
    _count_safetensors(countdown)


def _count_sqlite(countdown: Countdown) -> None:
    connect = sqlite3.connect

    class Counted(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            countdown.step()
            return super().execute(*arguments)

        def executemany(self, *arguments: Any) -> sqlite3.Cursor:
            countdown.step()
            return super().executemany(*arguments)

        def __exit__(self, *arguments: Any) -> Any:
            countdown.step()
            done = super().__exit__(*arguments)
            countdown.step()
            return done

    def counted(path: Any, *arguments: Any, **named: Any) -> Any:
        return connect(path, *arguments, **named | ({"factory": Counted} if countdown.is_within(path) else {}))

    sqlite3.connect = counted  # type: ignore[assignment]


def _count_safetensors(countdown: Countdown) -> None:
    import safetensors.torch

    save = safetensors.torch.save_file

    def counted(tensors: Mapping[str, Any], filename: str | Path, **named: Any) -> None:
        def half() -> None:
            save(tensors, filename, **named)
            os.truncate(filename, Path(filename).stat().st_size // 2)

        if countdown.is_within(filename):
            countdown.step(half)
        save(tensors, filename, **named)

    safetensors.torch.save_file = counted


def run() -> None:
    """Run the command line under a countdown."""
    countdown = Countdown(Path(os.environ["KILLED_WITHIN"]), int(os.environ["KILLED_AT"]))
    sys.addaudithook(countdown.heed)
    count_unannounced(countdown)
    if os.environ.get("KILLED_SAVES"):  # of --checkpoint-every 0: save a checkpoint after each update
        from wildcore.evaluation import checkpoints

        checkpoints.SAVES_TAKE_AT_MOST = 1e9
    try:
        runpy.run_module("wildcore", run_name="__main__")
    finally:
        countdown.paused = True
        if countdown.last == 0:
            Path(os.environ["KILLED_COUNT"]).write_text(str(countdown.count), encoding="utf-8")


if __name__ == "__main__":
    run()
