"""Handles Ctrl-C in the ``wildcore`` command. Imports nothing that takes time, so that it can be imported first.

While there is nothing to lose (during imports, while reading the command line, while Python exits), Ctrl-C ends the process at
once, because libraries that are interrupted during their import turn the interruption into unrelated errors. While a command
works, the first Ctrl-C raises ``KeyboardInterrupt``, so that finished work is saved; the second ends the process at once.

The only state is the installed signal handler. If the process ignores SIGINT, as background jobs do, or another handler is
installed, nothing is changed.
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
"""The exit code: 128 + SIGINT, as in shells."""
MESSAGE = "Interrupted."
CLEAR_LINE_AND_SHOW_CURSOR = "\r\x1b[K\x1b[?25h"


def heed_interrupts() -> None:
    """From here on, Ctrl-C ends the process with one line and exit code ``INTERRUPTED``."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop_at_once)
        sys.unraisablehook = _lose_no_interrupt


def stop_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """Signal handler: end the process."""
    before = CLEAR_LINE_AND_SHOW_CURSOR if os.isatty(2) else ""
    os.write(2, f"{before}{MESSAGE}\n".encode())
    os._exit(INTERRUPTED)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Signal handler: raise ``KeyboardInterrupt``; the next Ctrl-C ends the process."""
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
    """Handle an interrupt that Python could not raise, for example in a finalizer; show any other exception as Python does."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        stop_at_once(signal.SIGINT, None)
    sys.__unraisablehook__(unraisable)
