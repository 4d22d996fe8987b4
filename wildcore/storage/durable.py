"""Files whose content survives a crash of the process and of the machine, and locks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from typing import IO
from uuid import uuid4

UNFINISHED = ".writing"
"""Ending of a file that is being written, or was left behind by a process that died."""


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
    """Yield a new file beside ``path`` to be written in this context; on leaving it replaces ``path`` atomically.

    It survives a crash of the process and of the machine. A concurrent reader sees the earlier file or the new one, always
    whole. After an exception the earlier file is kept, and no temporary file. Raises ``OSError`` if this fails.
    """
    unfinished = path.with_name(f"{path.stem}.{uuid4().hex[:8]}{UNFINISHED}")
    try:
        mode = mode_of_new_file(unfinished)
        yield unfinished
        unfinished.chmod(mode)  # safetensors makes files that only their owner can read
        with unfinished.open("r+b") as stream:
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    make_durable(path.parent)


def mode_of_new_file(path: Path) -> int:
    """Create an empty file at ``path`` and return its mode, which depends on the umask and the folder. Raises ``OSError``."""
    path.touch()
    return S_IMODE(path.stat().st_mode)
