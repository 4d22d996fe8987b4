"""Files whose content survives the death of the process and of the machine, and locks."""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO


def make_durable(folder: Path) -> None:
    """Make the names of new files in ``folder``, and renames in it, survive the death of the machine, where the system can."""
    with suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock(stream: IO[str]) -> None:
    """Lock an open file until it is closed or its process dies. POSIX only.

    Raises ``BlockingIOError`` if it is locked, another ``OSError`` where it cannot be.
    """
    try:
        import fcntl
    except ImportError:  # Windows: runs work there, unguarded
        return
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_durably(path: Path, text: str) -> None:
    """Replace a file's content in one step that a crash cannot leave half done.

    Raises ``OSError`` where that cannot be; the earlier file stays, and nothing beside it.
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
