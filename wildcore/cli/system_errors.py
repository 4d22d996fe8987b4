"""Errors of the operating system as one message each: a full disk, a closed output, a place where nothing may be written."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
OTHERS = (errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENOTDIR)
EXIT_CODE = 2
CLOSED = "the output is closed, so nothing can be shown; send it to a file, or to /dev/null"


def message(error: OSError) -> str | None:
    """Return the message for an error that a user can do something about. None: it is of another kind."""
    if error.filename is None and error.errno in (*FULL, errno.EPIPE, errno.EIO):
        return f"the output cannot be written ({error.strerror}); files that are finished are kept"
    ways = {
        **dict.fromkeys(FULL, "; make room, and give the command again"),
        **dict.fromkeys(FORBIDDEN, "; choose another place, or allow it there"),
        **dict.fromkeys(OTHERS, ""),
    }
    return f"{error.filename}: {error.strerror}{ways[error.errno]}" if error.filename and error.errno in ways else None


def discard_output() -> None:
    """Send what is still to be written to the output nowhere, so that Python does not fail again when it exits."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def shown() -> Iterator[None]:
    """End the process with one message if the output is closed, or cannot be written in this context."""
    if sys.stdout is None:
        _end(CLOSED)
    try:
        yield
    except OSError as error:
        said = message(error)
        if said is None:
            raise
        discard_output()
        _end(said)


def _end(said: str) -> NoReturn:
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"Error: {said}", file=sys.stderr)
    raise SystemExit(EXIT_CODE)
