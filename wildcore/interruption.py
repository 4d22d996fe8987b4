"""What Ctrl-C does to the ``wildcore`` command. Imports nothing that takes time, so that it can be the first thing.

While there is nothing to lose (imports, reading the command line, Python's own end), Ctrl-C ends the process at once: libraries
that are interrupted while they are imported turn the interruption into all kinds of errors. While a command works, the first
Ctrl-C raises ``KeyboardInterrupt``, so that what is finished is kept; the second ends the process at once.

The state is the handler that is in force. Where the process ignores SIGINT, as jobs in the background do, or somebody else
handles it, nothing is changed.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

Handler = Callable[[int, FrameType | None], NoReturn]

INTERRUPTED = 130
"""The exit code: 128 + SIGINT, as shells have it."""
MESSAGE = "Interrupted."
CLEAR_LINE_AND_SHOW_CURSOR = "\r\x1b[K\x1b[?25h"


def heed_interrupts() -> None:
    """From here on let Ctrl-C end the process with one line and ``INTERRUPTED``."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop_at_once)
        sys.unraisablehook = _lose_no_interrupt


def stop_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """End the process: a signal handler."""
    before = CLEAR_LINE_AND_SHOW_CURSOR if os.isatty(2) else ""
    os.write(2, f"{before}{MESSAGE}\n".encode())
    os._exit(INTERRUPTED)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Raise ``KeyboardInterrupt``, and let the next Ctrl-C end the process: a signal handler."""
    signal.signal(signal.SIGINT, stop_at_once)
    raise KeyboardInterrupt


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let Ctrl-C raise ``KeyboardInterrupt`` in this context."""
    with _handled_by(interrupt, instead_of=stop_at_once):
        yield


@contextmanager
def interrupts_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process at once in this context, in which there is nothing to lose."""
    with _handled_by(stop_at_once, instead_of=interrupt):
        yield


@contextmanager
def _handled_by(handler: Handler, instead_of: Handler) -> Iterator[None]:
    if signal.getsignal(signal.SIGINT) is not instead_of:
        yield
        return
    try:
        signal.signal(signal.SIGINT, handler)
        yield
    finally:
        signal.signal(signal.SIGINT, instead_of)


def _lose_no_interrupt(unraisable: "sys.UnraisableHookArgs") -> None:
    """Heed an interrupt that Python could not raise, such as one in a finalizer; show anything else as Python does."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        stop_at_once(signal.SIGINT, None)
    sys.__unraisablehook__(unraisable)
