"""Attempts at a run: which worker has it now, which workers died with it, and when it is set aside.

The folder ``attempts/RUN`` has a file for each attempt, numbered from 1: who makes it, and how it ended. The file's name is
taken exclusively, so that of two workers one gets the run. A living worker touches its file every few seconds; a worker whose
file was not touched for a while, or whose process is gone, is dead, and the next worker takes the next number. Times are those
of the folder's file system, so the clocks of machines need not agree.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from uuid import uuid4

import psutil
from pydantic import ValidationError

from wildcore.storage import write_durably
from wildcore.types import FrozenData

Kind = TypeVar("Kind", bound=FrozenData)

HEARTBEAT_SECONDS = 5.0
DEAD_AFTER_SECONDS = 90.0
MOST_FAILED = 3
"""A run is set aside after this number of failed attempts."""

Ending = Literal["finished", "failed", "refused", "interrupted"]
"""How an attempt ended. ``refused``: by an error that another attempt would repeat, such as bad input."""


class Maker(FrozenData):
    """Who makes an attempt: a process on a machine, with the time at which the process was started."""

    machine: str
    process: int
    started: float


class Outcome(FrozenData):
    """How an attempt ended, with the reason of a failure. It took ``seconds`` for ``cases`` under ``protocols`` protocols."""

    ending: Ending
    reason: str = ""
    seconds: float = 0.0
    cases: int = 0
    protocols: int = 0


@dataclass(frozen=True)
class Attempt:
    """An attempt as found in the folder. ``outcome`` None: it has not ended, or its worker died."""

    number: int
    path: Path
    maker: Maker | None
    outcome: Outcome | None
    is_alive: bool

    @property
    def has_failed(self) -> bool:
        """Whether it ended by a failure or by the death of its worker."""
        if self.outcome is None:
            return not self.is_alive
        return self.outcome.ending in ("failed", "refused")

    @property
    def reason(self) -> str:
        """Why it failed."""
        if self.outcome is not None:
            return self.outcome.reason
        return "its worker died" + (f" (process {self.maker.process} on {self.maker.machine})" if self.maker else "")


class Attempts:
    """The attempts at one run."""

    def __init__(self, folder: Path, dead_after: float = DEAD_AFTER_SECONDS) -> None:
        self.folder = folder
        self.dead_after = dead_after

    def all(self) -> list[Attempt]:
        """Return all attempts in order."""
        numbers = sorted(int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdecimal())
        now = self._now() if numbers else 0.0
        return [self._read(number, now) for number in numbers]

    def counted(self) -> list[Attempt]:
        """Return the attempts since the last ``forgive``."""
        forgiven = max((int(path.stem) for path in self.folder.glob("*.forgiven")), default=0)
        return [attempt for attempt in self.all() if attempt.number > forgiven]

    def set_aside_because(self) -> str | None:
        """Return why the run is set aside. None: it is not."""
        failed = [attempt for attempt in self.counted() if attempt.has_failed]
        if failed and failed[-1].outcome is not None and failed[-1].outcome.ending == "refused":
            return failed[-1].reason
        if len(failed) >= MOST_FAILED:
            return f"{len(failed)} attempts failed; the last: {failed[-1].reason}"
        return None

    def is_being_made(self) -> bool:
        """Return whether a living worker has the run."""
        return any(attempt.is_alive and attempt.outcome is None for attempt in self.all()[-1:])

    def forgive(self) -> None:
        """Count the failures so far no more."""
        known = self.all()
        if known:
            (self.folder / f"{known[-1].number}.forgiven").touch()

    def record_interruption(self, since: int) -> None:
        """Record the last attempt as interrupted if its worker is gone without an outcome, and its number is above ``since``.

        For whoever ended the workers: one that was still importing its libraries ends at once, and records nothing.
        """
        for attempt in self.all()[-1:]:
            if attempt.number > since and attempt.outcome is None and not attempt.is_alive:
                Claim(self, attempt.number, attempt.path).record(Outcome(ending="interrupted"))

    @contextmanager
    def claim(self) -> Iterator["Claim | None"]:
        """Try to take the run, and yield the claim, or None if another worker has it or it is set aside.

        The claim is kept alive until the context is left; left by Ctrl-C, it is recorded as interrupted. An attempt whose outcome
        was not recorded by then has failed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self.all()
        if (known and known[-1].is_alive and known[-1].outcome is None) or self.set_aside_because() is not None:
            yield None
            return
        number = known[-1].number + 1 if known else 1
        path = self.folder / f"{number}.json"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(this_process().model_dump_json())
        except FileExistsError:
            yield None
            return
        claim = Claim(self, number, path)
        try:
            with claim.kept_alive():
                yield claim
        except KeyboardInterrupt:
            claim.record(Outcome(ending="interrupted"))
            raise

    def _read(self, number: int, now: float) -> Attempt:
        path = self.folder / f"{number}.json"
        maker = _parsed(Maker, path)
        touched = 0.0
        with suppress(OSError):
            touched = path.stat().st_mtime
        alive = now - touched < self.dead_after and not (maker is not None and _is_gone(maker))
        return Attempt(number, path, maker, _parsed(Outcome, self.folder / f"{number}.outcome"), alive)

    def _now(self) -> float:
        """Return the time by the clock of the file system."""
        probe = self.folder / f"clock-{uuid4().hex}"  # of this call alone
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


class Claim:
    """A run that this worker has."""

    def __init__(self, attempts: Attempts, number: int, path: Path) -> None:
        self.attempts = attempts
        self.number = number
        self.path = path

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Touch the claim every few seconds until the context is left."""
        ended = threading.Event()

        def touch() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                with suppress(OSError):
                    os.utime(self.path)

        beating = threading.Thread(target=touch, daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()

    def is_lost(self) -> bool:
        """Return whether another worker took the run, because this one was held to be dead."""
        return any(attempt.number > self.number for attempt in self.attempts.all())

    def record(self, outcome: Outcome) -> None:
        """Record how the attempt ended."""
        write_durably(self.path.with_suffix(".outcome"), outcome.model_dump_json())


def this_process() -> Maker:
    """Return this process as the maker of an attempt."""
    return Maker(machine=socket.gethostname(), process=os.getpid(), started=psutil.Process().create_time())


def _is_gone(maker: Maker) -> bool:
    """Return whether a process of this machine has ended. Of another machine's process only its heartbeat is known."""
    if maker.machine != socket.gethostname():
        return False
    try:
        process = psutil.Process(maker.process)
        return bool(abs(process.create_time() - maker.started) > 1.0 or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _parsed(kind: type[Kind], path: Path) -> Kind | None:
    """Return the content of a file. None: there is none, or it is being written."""
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None
