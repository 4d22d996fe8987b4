"""A real HTTP server that speaks chat completions, and misbehaves as it is told."""

import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from wildcore import Answer, AnsweredProbe, Output

USAGE = {"prompt_tokens": 500, "completion_tokens": 9}
KEY = "sk-distinctive/0123456789+abcdef=="
GRADED = re.compile(r"<gold>\n(.*?)\n</gold>\n<answer>\n(.*?)\n</answer>", re.DOTALL)


@dataclass(frozen=True)
class Reaction:
    """What the server does with a request: wait, then send a status, headers and a body, or break the connection.

    An ``endless`` body is repeated until the client closes the connection.
    """

    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    seconds: float = 0.0
    reset: bool = False
    missing_bytes: int = 0
    endless: bool = False


def says(text: str | None, usage: Mapping[str, int] | None = USAGE, finish: str = "stop", **how: Any) -> Reaction:
    """Return a well-formed reply."""
    return sends({"content": text}, usage, finish, **how)


def sends(message: Mapping[str, Any], usage: Any = USAGE, finish: str = "stop", **how: Any) -> Reaction:
    """Return a chat completion with any message and any numbers of tokens."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion", "model": "judge-2026-01-01", "choices": [choice], "usage": usage}
    return Reaction(json.dumps(body), **how)


def fails(status: int, message: str = "no", headers: Mapping[str, str] | None = None, **how: Any) -> Reaction:
    """Return an HTTP error."""
    return Reaction(json.dumps({"error": {"message": message}}), status, headers or {}, **how)


def verdict(request: Mapping[str, Any]) -> Reaction:
    """Judge as a perfect judge would, by exact match."""
    gold, answer = graded(request)
    return says(json.dumps({"verdict": "CORRECT" if answer in gold.split("\n") else "INCORRECT"}))


def graded(request: Mapping[str, Any]) -> tuple[str, str]:
    """Return the gold and the answer that a request shows the judge."""
    (message,) = request["messages"]
    found = GRADED.search(message["content"])
    assert found
    return found.group(1), found.group(2)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests as the server's ``react`` says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms behind its headers
    server: "JudgeServer"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request["authorization"] = self.headers["Authorization"]
        request["path"] = self.path
        reaction = self.server.take(request)
        self.server.closing.wait(reaction.seconds)
        if reaction.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self._send(reaction)

    def _send(self, reaction: Reaction) -> None:
        body = reaction.body if isinstance(reaction.body, bytes) else reaction.body.encode()
        try:
            self.send_response(reaction.status)
            self.send_header("Content-Type", reaction.content_type)
            if reaction.endless:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(len(body)))
            for name, value in reaction.headers.items():
                self.send_header(name, value)
            self.end_headers()
            while reaction.endless and not self.server.closing.is_set():
                self.wfile.write(body)
                self.server.sent += len(body)
            self.wfile.write(body[: len(body) - reaction.missing_bytes])
            self.close_connection = bool(reaction.missing_bytes)
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


class JudgeServer(ThreadingHTTPServer):
    """A server on a free port. ``react`` says what to do with a request; ``script`` goes before it, one for each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.react: Callable[[Mapping[str, Any]], Reaction] = verdict
        self.script: list[Reaction] = []
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.sent = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def take(self, request: dict[str, Any]) -> Reaction:
        """Note a request and say what to do with it."""
        with self._lock:
            self.requests.append(request)
            self.times.append(time.time())
            return self.script.pop(0) if self.script else self.react(request)

    def asked(self) -> Counter[str]:
        """Return how often each answer was put to the judge."""
        return Counter(graded(request)[1] for request in self.requests)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about connections that were broken on purpose."""


def probe(text: str, golds: Sequence[str] = ("Paris",), question: str = "Where?") -> AnsweredProbe:
    """Return an answer to be judged."""
    answer = Answer(text=text, token_ids=(), output=Output(text=text, token_ids=(), stop_reason="end-of-sequence"))
    return AnsweredProbe(
        kind="reliability", question=question, answers=tuple(golds), gold_token_ids=(), answer=answer, unedited=answer
    )


def probes(count: int) -> list[AnsweredProbe]:
    """Return so many different answers, every second of them right."""
    return [probe(f"answer {number}", (f"answer {number - number % 2}",)) for number in range(count)]
