"""The program of a tracker's process: makes the tracker, and carries the requests of the run out, one line of JSON each.

When the requests end without the end of the run, the run was killed, and its tracker is told that it was interrupted.
"""

import faulthandler
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from wildcore.errors import UserError
from wildcore.guarded import problem_of
from wildcore.interfaces import TrackedEnd, TrackedPoint, TrackedRun, Tracker
from wildcore.registry import load_registry
from wildcore.tracking.process import seconds_allowed

SECONDS_AFTER_THE_LIMIT = 5.0
"""For so long after the limit, the run, if it still exists, is given time to end this process."""


class Worker:
    """Carries requests out. A new tracker is made for each run."""

    def __init__(self) -> None:
        self.make: Callable[[], Tracker] | None = None
        self.tracker: Tracker | None = None
        self.is_running = False

    def carry_out(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry a request out, and return the reply: empty, or where the run is seen, or what went wrong."""
        try:
            with _time_limited():
                place = getattr(self, f"_{request['call']}")(request)
        except UserError as error:
            return {"problem": str(error), "asks_user": request["call"] == "open"}
        except BaseException as error:  # a tracker may raise anything, even SystemExit
            return {"problem": problem_of(error)}
        return {"place": place} if isinstance(place, str) else {}

    def interrupted(self) -> None:
        """Tell the tracker that the run was interrupted, if it is running."""
        if self.is_running:
            self.carry_out({"call": "finish", "end": {"status": "interrupted"}})

    def _open(self, request: Mapping[str, Any]) -> None:
        registry = load_registry([request["plugin"]])
        for plugin in registry.broken:
            raise RuntimeError(plugin.warning)
        offer = registry.find("tracker", f"{request['plugin']}/{request['name']}").offer
        params = offer.params.model_validate(request["params"])
        self.make = lambda: offer.make(params)
        self.tracker = self.make()

    def _start(self, request: Mapping[str, Any]) -> str | None:
        self.interrupted()
        if self.make is None:
            raise RuntimeError("it could not be made")
        self.tracker = self.tracker or self.make()
        run = request["run"]
        place = self.tracker.start(TrackedRun(run["id"], run["name"], Path(run["folder"]), run["manifest"]))
        self.is_running = True
        return place

    def _point(self, request: Mapping[str, Any]) -> None:
        point = request["point"]
        self._running().point(TrackedPoint(point["edits"], point["numbers"], tuple(point["collapse"])))

    def _finish(self, request: Mapping[str, Any]) -> None:
        tracker, end = self._running(), request["end"]
        self.tracker, self.is_running = None, False
        tracker.finish(TrackedEnd(end["status"], end.get("numbers", {}), end.get("cases", ())))

    def _running(self) -> Tracker:
        if self.tracker is None or not self.is_running:
            raise RuntimeError("it did not start the run")
        return self.tracker


@contextmanager
def _time_limited() -> Iterator[None]:
    """End this process if a call takes too long, in case that the run, which would end it, was killed.

    The interpreter's own watchdog also ends what never releases the interpreter's lock.
    """
    with open(os.devnull, "w") as nothing:
        faulthandler.dump_traceback_later(seconds_allowed() + SECONDS_AFTER_THE_LIMIT, exit=True, file=nothing)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _own_channels() -> tuple[IO[str], IO[str]]:
    """Return the streams of requests and replies, which no one else can use: standard input is empty from here on, and what is
    printed is discarded.
    """
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return requests, replies


def main() -> None:
    """Carry requests out until there are no more."""
    requests, replies = _own_channels()
    worker = Worker()
    for line in requests:
        try:
            request = json.loads(line)
        except ValueError:  # the run was killed while it wrote this line
            break
        reply = worker.carry_out(request)
        with suppress(OSError):  # the run was killed
            replies.write(json.dumps(reply) + "\n")
            replies.flush()
    worker.interrupted()
    with open(os.devnull, "w") as nothing:  # what a tracker left running must not keep this process
        faulthandler.dump_traceback_later(SECONDS_AFTER_THE_LIMIT, exit=True, file=os.dup(nothing.fileno()))


if __name__ == "__main__":
    main()
