"""Files whose content survives a crash of the process and of the machine, and locks."""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO


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
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    make_durable(path.parent)
