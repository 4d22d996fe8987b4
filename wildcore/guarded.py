"""Runs the code of others within limits.

Whatever a plugin does while it is loaded costs only those who asked for that plugin: the time is limited, the process cannot be
ended, and what is printed is kept apart from the output of a command.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any, NoReturn, TextIO

from wildcore.errors import in_one_line

SECONDS_VARIABLE = "WILDCORE_PLUGIN_SECONDS"
SECONDS = 30.0
"""Most seconds that loading one plugin may take. A plugin imports nothing heavy, so it takes a fraction of a second."""


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
    """Run a plugin's code in this context; what it prints goes to ``printed``. Raises ``Stopped`` if it takes too long or ends
    the process.

    The time is limited in the main thread only, and where the system has signals for it.
    """
    seconds = seconds_allowed()
    too_slow = f"loading it takes longer than {seconds:g} s; ${SECONDS_VARIABLE} allows more"
    with time_limited(seconds, too_slow), _staying(), redirect_stdout(printed):
        yield


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
