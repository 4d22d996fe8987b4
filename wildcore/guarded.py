"""Runs the code of others within limits.

Whatever a plugin does while it is loaded costs only those who asked for that plugin: the time is limited, the process cannot be
ended, and what is printed is kept apart from the output of a command. Only a plugin that cannot be stopped ends the process.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import IO, Any, NoReturn, TextIO

from wildcore.errors import in_one_line

SECONDS_VARIABLE = "WILDCORE_PLUGIN_SECONDS"
SECONDS = 30.0
"""Most seconds that loading one plugin may take. A plugin imports nothing heavy, so it takes a fraction of a second."""
SECONDS_TO_STOP = 5.0
"""For so long, a plugin that takes too long is stopped again every second, before it ends the process."""
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_WITHOUT_LOCK = 2.0
"""For so long after that, the process is left to end itself, which it cannot do while C code holds the interpreter's lock."""
BAD_INPUT = 2
"""Exit code of a process that a plugin ends by not stopping."""
STDOUT, STDERR = 1, 2
"""File descriptors."""
MOST_PRINTED = 10_000
"""Most bytes that are read of what a plugin printed."""


class Stopped(BaseException):
    """Why the code of others was stopped. No ``Exception``, so that the code's own handlers do not take it for theirs."""


def seconds_allowed() -> float:
    """Return how long loading one plugin may take: $WILDCORE_PLUGIN_SECONDS, else ``SECONDS``."""
    try:
        chosen = float(os.environ.get(SECONDS_VARIABLE, ""))
    except ValueError:
        return SECONDS
    return chosen if 0 < chosen < float("inf") else SECONDS


@contextmanager
def guarded(printed: TextIO) -> Iterator[None]:
    """Run a plugin's code in this context; what it prints goes to ``printed``, also past Python. Raises ``Stopped`` if it takes
    too long or ends the process.

    The time is limited in the main thread only, and where the system has signals for it.
    """
    seconds = seconds_allowed()
    too_slow = f"loading it takes longer than {seconds:g} s; ${SECONDS_VARIABLE} allows more"
    with time_limited(seconds, too_slow), _staying(), _without_descriptor(printed), redirect_stdout(printed):
        yield


class Watch:
    """Ends the process if a plugin takes too long and catches what stops it. One thread looks after all plugins."""

    def __init__(self) -> None:
        self._leave = os._exit
        self._over = threading.Event()
        self._limit: tuple[float, Callable[[], str]] | None = None

    def __enter__(self) -> "Watch":
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()

    @contextmanager
    def limited(self, last_words: Callable[[], str]) -> Iterator[None]:
        """End the process with exit code 2 if this context takes too long even for code that is stopped; ``last_words`` makes
        the text that is written to standard error then.

        C code that never releases the interpreter's lock also stops the thread that would do so. The interpreter's own watchdog
        needs no lock: it writes where the code hangs, and ends the process with exit code 1.
        """
        seconds = seconds_allowed() + SECONDS_TO_STOP
        self._limit = (time.monotonic() + seconds, last_words)
        faulthandler.dump_traceback_later(seconds + SECONDS_WITHOUT_LOCK, exit=True, file=STDERR)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._limit = None

    def _look(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            limit = self._limit
            if limit and time.monotonic() > limit[0]:
                with suppress(OSError):
                    os.write(STDERR, limit[1]().encode(errors="replace"))
                self._leave(BAD_INPUT)


@contextmanager
def _without_descriptor(printed: TextIO) -> Iterator[None]:
    """Keep what is written to the file descriptor of standard output in this context apart, and write it to ``printed``."""
    try:
        kept, file = os.dup(STDOUT), _file_without_name()
    except OSError:  # standard output is closed, or nothing can be written
        yield
        return
    try:
        _flush()
        os.dup2(file.fileno(), STDOUT)
        try:
            yield
        finally:
            _flush()
            os.dup2(kept, STDOUT)
            file.seek(0)
            printed.write(file.read(MOST_PRINTED).decode(errors="replace"))
    finally:
        os.close(kept)
        file.close()


def _file_without_name() -> IO[bytes]:
    """Return a new file, in memory where the system has such files. Raises ``OSError``."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("printed"), "w+b")
    from tempfile import TemporaryFile

    return TemporaryFile()


def _flush() -> None:
    """Write what Python and the C library have buffered for standard output."""
    import ctypes

    for stream in (sys.stdout, sys.__stdout__):
        with suppress(Exception):  # there is none, or it is closed
            stream.flush()  # type: ignore[union-attr]
    with suppress(Exception):  # on Windows, the C library is not found in this way
        ctypes.CDLL(None).fflush(None)


def problem_of(error: BaseException) -> str:
    """Return the type and the text of an error in one line, even if the error's text cannot be had."""
    if isinstance(error, Stopped):
        return str(error)
    return in_one_line(f"{type(error).__name__}: {_text_of(error, str)}")


def shown(value: Any) -> str:
    """Return a value of a plugin for a message, even if it cannot be shown."""
    return in_one_line(_text_of(value, repr), 120)


def _text_of(value: Any, as_text: Any) -> str:
    try:
        return str(as_text(value))
    except Exception as error:
        return f"<{type(value).__name__}, whose text raises {type(error).__name__}>"


@contextmanager
def _staying() -> Iterator[None]:
    """Make ``os._exit`` raise ``Stopped`` in this context instead of ending the process."""
    leave, inside = os._exit, True

    def refuse(status: int) -> NoReturn:
        if inside:
            raise Stopped(f"it ends the process (os._exit({in_one_line(str(status), 20)}))")
        leave(status)

    os._exit = refuse
    try:
        yield
    finally:
        inside, os._exit = False, leave


@contextmanager
def time_limited(seconds: float, problem: str) -> Iterator[None]:
    """Raise ``Stopped`` with ``problem`` in this context after ``seconds``, and again every second if that is caught.

    Only in the main thread, and where the system has signals for it.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(problem)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
