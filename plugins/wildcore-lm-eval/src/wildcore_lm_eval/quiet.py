"""Runs the harness so that it prints nothing, draws no bars, and leaves the process as it was."""

import io
import logging
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch

from wildcore import Setting, UserError

NO_PROCESSES = "DISABLE_MULTIPROC"
"""Environment variable by which the harness computes standard errors in this process instead of starting others."""


class Warnings(logging.Handler):
    """Collects the warnings of the harness, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self.messages[record.getMessage()] = None


@contextmanager
def quiet_harness(seed: int, bars: bool = False) -> Iterator[Warnings]:
    """Run the harness in this context: what it prints is dropped, its warnings are collected, and its random generators are
    seeded; the states of Python's, numpy's and torch's are restored afterwards. ``bars``: leave stderr as it is.
    """
    warnings = Warnings()
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(io.StringIO()))
        if not bars:
            stack.enter_context(redirect_stderr(io.StringIO()))
        stack.enter_context(_logging_to(warnings))
        stack.enter_context(_in_one_process())
        stack.enter_context(_seeded(seed))
        yield warnings


@contextmanager
def hub_code_refused(allowed: bool) -> Iterator[None]:
    """Refuse in this context to run metrics whose code would be fetched from the hub, unless that is ``allowed``.

    Raises ``UserError`` if one was asked for, also if the harness went on without it or failed for another reason then.
    """
    if allowed:
        yield
        return
    import evaluate

    asked: list[str] = []

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        raise _refusal(name)

    load, evaluate.load = evaluate.load, refuse
    try:
        yield
    except Exception as error:
        if asked:
            raise _refusal(asked[0]) from error
        raise
    finally:
        evaluate.load = load
    if asked:
        raise _refusal(asked[0])


def _refusal(name: str) -> UserError:
    return UserError(
        f"a task uses the metric {name!r}, which the harness does not have; its code would be fetched from the hub and run",
        "measurement lm-eval",
        ("to allow that: ", Setting("measurement.lm-eval.confirm_run_unsafe_code", True)),
    )


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    """Give the messages of the harness to ``handler`` alone."""
    logger = logging.getLogger("lm_eval")
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


@contextmanager
def _in_one_process() -> Iterator[None]:
    before = os.environ.get(NO_PROCESSES)
    os.environ[NO_PROCESSES] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NO_PROCESSES]
        else:
            os.environ[NO_PROCESSES] = before


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators as the harness does: Python's with 0, the others with ``seed``."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(0)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
