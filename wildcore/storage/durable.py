"""Files and folders that appear whole and survive a crash of the process and of the machine; locks; opening without links.

What is being written lies in a folder beside its place, which its process keeps locked. The folder of a process that died is not
locked, so it can be told apart and removed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from stat import S_IMODE
from typing import IO
from uuid import uuid4

UNFINISHED = ".writing"
"""Ending of a folder in which something is being written, or was left behind by a process that died. In earlier versions it
was a file."""
TURN = "[0-9a-f]" * 8
"""Pattern of what makes the name of such a folder unique."""
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""Flag of ``os.open`` that refuses a link; Windows has none."""


def make_durable(folder: Path) -> None:
    """Make new file names and renames in ``folder`` survive a crash of the machine, if the system supports it."""
    with suppress(OSError):  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock(stream: IO[str] | IO[bytes] | int, wait: bool = False) -> None:
    """Lock an open file or folder until it is closed or its process ends. POSIX only.

    Raises ``BlockingIOError`` if it is locked already and ``wait`` is false, another ``OSError`` if it cannot be locked.
    """
    try:
        import fcntl
    except ImportError:  # Windows: runs work there, without a lock
        return
    fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def not_through_links(path: str, flags: int) -> int:
    """Open a file as ``open`` does with this ``opener``, but raise ``OSError`` if ``path`` is a link."""
    return os.open(path, flags | NO_LINKS, 0o666)


def write_durably(path: Path, text: str) -> None:
    """Replace a file's content atomically, even if the machine crashes.

    Raises ``OSError`` if that fails; the earlier file is kept, and no temporary file.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new, empty file to be written in this context; on leaving it replaces ``path`` atomically.

    It survives a crash of the process and of the machine. A concurrent reader sees the earlier file or the new one, always
    whole. After an exception the earlier file is kept, and no temporary file. If ``path`` is a link, the link is replaced.
    Raises ``OSError`` if this fails.
    """
    with _workplace(path) as place:
        unfinished = place / path.name
        mode = mode_of_new_file(unfinished)
        yield unfinished
        unfinished.chmod(mode)  # safetensors makes files that only their owner can read
        _sync(unfinished)
        unfinished.replace(path)
    make_durable(path.parent)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder to be filled in this context; on leaving it becomes ``path``, with everything in it.

    It survives a crash of the process and of the machine. After an exception there is no folder. Raises ``OSError`` if this
    fails, for example because ``path`` exists and is not an empty folder.
    """
    clear_abandoned(path.parent)
    with _workplace(path) as place:
        unfinished = place / path.name
        unfinished.mkdir()
        yield unfinished
        for folder, _, names in os.walk(unfinished):
            for name in names:
                _sync(Path(folder, name))
            make_durable(Path(folder))
        unfinished.rename(path)
    make_durable(path.parent)


def clear_abandoned(folder: Path) -> None:
    """Remove what processes that died left behind in ``folder``.

    What another process is still writing is kept, and what cannot be removed.
    """
    for left in folder.glob(f"*.{TURN}{UNFINISHED}"):
        with suppress(OSError), _locked(left):
            rmtree(left)


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path`` that this process keeps locked, and remove it."""
    while True:
        place = path.with_name(f"{path.stem}.{uuid4().hex[:8]}{UNFINISHED}")
        place.mkdir()
        held = None
        try:
            with suppress(OSError):  # where nothing can be locked, nothing abandoned is removed either
                held = os.open(place, os.O_RDONLY)
                lock(held, wait=True)
            if not place.exists():  # removed as abandoned before it was locked
                continue
            yield place
            return
        finally:
            rmtree(place, ignore_errors=True)
            if held is not None:
                os.close(held)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder. Raises ``OSError`` if it is locked, a link, or cannot be locked."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | NO_LINKS)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def mode_of_new_file(path: Path) -> int:
    """Create an empty file at ``path`` and return its mode, which depends on the umask and the folder. Raises ``OSError``."""
    path.touch()
    return S_IMODE(path.stat().st_mode)
