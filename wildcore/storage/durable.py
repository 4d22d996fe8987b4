"""Files whose content survives a crash of the process and of the machine, and locks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from typing import IO
from uuid import uuid4

UNFINISHED = ".writing"
"""Ending of a file that is being written, or was left so by a process that died."""


def make_durable(folder: Path) -> None:
    """Make new file names and renames in ``folder`` survive a crash of the machine, if the system supports it."""
    with suppress(OSError):  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock(stream: IO[str]) -> None:
    """Lock an open file until it is closed or its process ends. POSIX only.

    Raises ``BlockingIOError`` if it is locked already, another ``OSError`` if it cannot be locked.
    """
    try:
        import fcntl
    except ImportError:  # Windows: runs work there, without a lock
        return
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_durably(path: Path, text: str) -> None:
    """Replace a file's content atomically, even if the machine crashes.

    Raises ``OSError`` if that fails; the earlier file is kept, and no temporary file.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new file beside ``path`` to be written in the context, which then takes its place in one step.

    It survives the death of the process and of the machine. Whoever reads at the same time sees the earlier file or the new one,
    whole. After an exception the earlier file stays, and nothing beside it. Raises ``OSError`` where that cannot be.
    """
    unfinished = path.with_name(f"{path.stem}.{uuid4().hex[:8]}{UNFINISHED}")
    try:
        mode = mode_of_new_file(unfinished)
        yield unfinished
        unfinished.chmod(mode)  # safetensors lets nobody but the owner read what it writes
        with unfinished.open("r+b") as stream:
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    make_durable(path.parent)


def mode_of_new_file(path: Path) -> int:
    """Make an empty file at ``path`` and return its mode, which the umask and the folder decide. Raises ``OSError``."""
    path.touch()
    return S_IMODE(path.stat().st_mode)
