"""The process of a tracker, as the run sees it: requests are queued and sent by a thread, so that the run never waits.

Requests and replies are lines of JSON. A call that takes too long, or a process that ends, gives the tracker up.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread, Timer
from time import monotonic
from typing import Any

from wildcore.errors import UserError, in_one_line
from wildcore.guarded import problem_of

SECONDS_VARIABLE = "WILDCORE_TRACKER_SECONDS"
SECONDS = 60.0
"""Most seconds that a call of a tracker may take, and for which the end of a run waits for its tracker."""
MOST_SECONDS = 24 * 3600.0
SECONDS_TO_OPEN = 20.0
"""Most seconds for which a run waits until a tracker is made. After that the run begins, and the tracker follows if it can."""
MOST_CHARACTERS = 100_000
"""Most characters of a reply that are read."""
SECONDS_TO_DIE = 5.0
"""For so long a process that was killed is waited for."""
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""
SHORTEST_SECRET = 6
IN_ADDRESS = re.compile(r"//[^/\s@]+@")
"""A user's name or password in an address."""


def seconds_allowed() -> float:
    """Return how long a call of a tracker may take: $WILDCORE_TRACKER_SECONDS, at most a day, else ``SECONDS``."""
    try:
        chosen = float(os.environ.get(SECONDS_VARIABLE, ""))
    except ValueError:
        return SECONDS
    return min(chosen, MOST_SECONDS) if chosen > 0 else SECONDS


def without_secrets(text: str) -> str:
    """Return a tracker's text with what the environment keeps secret, and the user named in an address, replaced by ``***``."""
    secrets = [value for name, value in os.environ.items() if SECRET.search(name) and len(value) >= SHORTEST_SECRET]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return IN_ADDRESS.sub("//***@", text)


@dataclass(frozen=True)
class Chosen:
    """A tracker that a user chose: its offer's name, its plugin, its parameters as JSON values, and whether it gets cases."""

    name: str
    plugin: str
    params: Mapping[str, Any]
    cases: bool = False


class TrackerProcess:
    """A tracker in a process of its own. ``send`` never waits; the state is read at any time.

    ``problem`` is the first thing that went wrong (None: nothing), ``sent`` counts the requests, ``done`` those that the tracker
    carried out, and ``places`` are where its runs are seen.
    """

    def __init__(self, chosen: Chosen) -> None:
        self.chosen = chosen
        self.seconds = seconds_allowed()
        self.problem: str | None = None
        self.sent = self.done = 0
        self.places: list[str] = []
        self._gone = False
        self._queue: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
        self._opened: SimpleQueue[str | None] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._thread = Thread(target=self._work, name=f"tracker {chosen.name}", daemon=True)

    def start(self) -> None:
        """Start the process, and make the tracker in it."""
        self._thread.start()

    def require_ready(self) -> None:
        """Wait until the tracker is made, but not long. Raises ``UserError`` if that needs something from the user, such as a
        package. Any other failure to make it is a problem of the tracker, and none of the run.
        """
        try:
            asked = self._opened.get(timeout=min(SECONDS_TO_OPEN, self.seconds))
        except Empty:
            return
        if asked is not None:
            raise UserError(asked)

    def send(self, request: Mapping[str, Any]) -> None:
        """Queue a request, which must not change any more."""
        self.sent += 1
        self._queue.put(request)

    def end_requests(self) -> None:
        """Say that no request follows."""
        self._queue.put(None)

    def wait(self, deadline: float) -> None:
        """Wait until everything is carried out, but not beyond ``deadline`` (``time.monotonic``), and end the process."""
        if self._thread.ident is None:
            return
        self._thread.join(max(0.0, deadline - monotonic()))
        if self._thread.is_alive():
            self._give_up("it was not done in time, and was ended")
            if self._process is not None:
                self._process.kill()
            self._thread.join(SECONDS_TO_DIE)

    def _work(self) -> None:
        """Make the tracker, then send the requests in order."""
        chosen = self.chosen
        try:
            self._process = _started()
        except Exception as error:  # there is no memory, or no Python
            self._give_up(f"its process cannot be started ({error})")
        reply = self._ask({"call": "open", "plugin": chosen.plugin, "name": chosen.name, "params": dict(chosen.params)})
        if reply.get("asks_user"):
            self._opened.put(without_secrets(str(reply.get("problem"))))
        if "problem" in reply:
            self._give_up(str(reply["problem"]))
        self._opened.put(None)
        while (request := self._queue.get()) is not None:
            reply = self._ask(request)
            if "problem" in reply:
                self._fail(str(reply["problem"]))
            else:
                self.done += 1
            if isinstance(place := reply.get("place"), str):
                self.places.append(without_secrets(in_one_line(place)))
        self._end()

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a request, and return the reply. A process that is gone, or takes too long, replies with that problem."""
        process = self._process
        if self._gone or process is None or process.stdin is None or process.stdout is None:
            return {"problem": self.problem or "it was given up"}
        too_slow = Event()

        def stop() -> None:
            too_slow.set()
            process.kill()

        limit = Timer(self.seconds, stop)
        limit.daemon = True
        limit.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            reply = json.loads(process.stdout.readline(MOST_CHARACTERS))
        except (OSError, ValueError):  # the process is gone
            self._give_up(
                f"a call takes longer than {self.seconds:g} s; ${SECONDS_VARIABLE} allows more"
                if too_slow.is_set()
                else "its process ended"
            )
            return {"problem": self.problem}
        except Exception as error:
            self._give_up(problem_of(error))
            return {"problem": self.problem}
        finally:
            limit.cancel()
        return reply if isinstance(reply, Mapping) else {}

    def _give_up(self, problem: str) -> None:
        self._fail(problem)
        self._gone = True

    def _fail(self, problem: str) -> None:
        self.problem = self.problem or without_secrets(in_one_line(problem))

    def _end(self) -> None:
        """End the process, at once if it does not end by itself when it gets no more requests."""
        process = self._process
        if process is None:
            return
        try:
            process.communicate(timeout=0 if self._gone else self.seconds)
        except (subprocess.TimeoutExpired, OSError, ValueError):
            process.kill()
            process.wait()


def _started() -> subprocess.Popen[str]:
    """Start the process of a tracker, in a session of its own: Ctrl-C ends the run, and the tracker is then told so."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "wildcore.tracking.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
