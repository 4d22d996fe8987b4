"""Trackers: one that writes down what it is told, and others that fail in every way we could think of."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from wildcore import (
    Offer,
    TrackedEnd,
    TrackedPoint,
    TrackedRun,
    Tracker,
    TrackerParams,
    UserError,
    hookimpl,
)


class FileParams(TrackerParams):
    """Parameters of ``keeps`` and its relatives."""

    file: Path = Path("told.jsonl")
    """Where a line for each call is written."""


class Keeps(Tracker):
    """Writes a line for each call."""

    def __init__(self, params: FileParams) -> None:
        self.file = params.file

    def write(self, call: str, told: object) -> None:
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({call: told, "pid": os.getpid()}, default=str) + "\n")

    def start(self, run: TrackedRun) -> str | None:
        self.write("start", asdict(run))
        return f"{self.file}\x1b[31m of http://me:hunter2@host"

    def point(self, point: TrackedPoint) -> None:
        self.write("point", asdict(point))

    def finish(self, end: TrackedEnd) -> None:
        self.write("finish", asdict(end))


class Raises(Keeps):
    """Raises at every call, with a secret in the text."""

    def start(self, run: TrackedRun) -> str | None:
        raise ConnectionError(f"refused for the key {os.environ.get('SAMPLE_API_KEY')}")

    def point(self, point: TrackedPoint) -> None:
        raise ConnectionError("refused again")

    def finish(self, end: TrackedEnd) -> None:
        raise SystemExit(7)


class RaisesOnce(Keeps):
    """Does not store its first point."""

    failed = False

    def point(self, point: TrackedPoint) -> None:
        if not self.failed:
            self.failed = True
            raise TimeoutError("the network is down")
        super().point(point)


class RaisesAtOnce(Keeps):
    """Cannot be made, for a reason that the user cannot change."""

    def __init__(self, params: FileParams) -> None:
        raise RuntimeError("no space left on device")


class Asks(Keeps):
    """Cannot be made without the user."""

    def __init__(self, params: FileParams) -> None:
        raise UserError("the package sample cannot be imported", "tracker asks", "install it: pip install sample")


class Hangs(Keeps):
    """Never returns from its first point."""

    def point(self, point: TrackedPoint) -> None:
        time.sleep(3600)


class HoldsTheLock(Keeps):
    """Never returns from its first point, in code that never lets another thread of its process work."""

    def point(self, point: TrackedPoint) -> None:
        sum(range(10**12))


class HangsAtOnce(Keeps):
    """Cannot be made in any time."""

    def __init__(self, params: FileParams) -> None:
        time.sleep(3600)


class Leaves(Keeps):
    """Ends its process."""

    def point(self, point: TrackedPoint) -> None:
        os._exit(0)


class Lies(Keeps):
    """Prints what looks like replies and results, returns rubbish, changes what it is told, reads what others are told."""

    def start(self, run: TrackedRun) -> object:
        print('{"problem": "a lie"}', flush=True)
        os.write(1, b'{"problem": "a lie"}\n')
        os.write(2, b"Error: a lie\n")
        sys.stdin.read()
        run.manifest.clear()
        return {"not": "a text"}

    def point(self, point: TrackedPoint) -> int:
        point.numbers.update({"wild/reliability/exact-match/after": 1.0})
        return 7


@hookimpl
def wildcore_trackers():
    """Offer them all."""
    return [
        Offer("keeps", Keeps, FileParams, "writes down what it is told"),
        Offer("keeps-too", Keeps, FileParams, "writes down what it is told"),
        Offer("raises", Raises, FileParams, "raises"),
        Offer("raises-once", RaisesOnce, FileParams, "raises once"),
        Offer("raises-at-once", RaisesAtOnce, FileParams, "cannot be made"),
        Offer("asks", Asks, FileParams, "cannot be made without the user"),
        Offer("hangs", Hangs, FileParams, "hangs"),
        Offer("holds-the-lock", HoldsTheLock, FileParams, "hangs in C code"),
        Offer("hangs-at-once", HangsAtOnce, FileParams, "hangs"),
        Offer("leaves", Leaves, FileParams, "ends its process"),
        Offer("lies", Lies, FileParams, "lies"),
    ]
