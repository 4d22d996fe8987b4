"""A judge that goes by rules, behind a local HTTP server that speaks the chat protocol: no language model is in it.

    python benchmarks/rule_judge.py --port 8099

It exists to measure the judging path end to end where no capable model can be run. An answer is CORRECT if, normalised, it
holds an accepted answer as whole words once, and besides it no more than ``SPARE_WORDS`` words. Its verdicts say nothing about
what a language model would find.
"""

import argparse
import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wildcore.normalise import normalise

SPARE_WORDS = 4
TAGGED = "<{0}>\n(.*?)\n</{0}>"


def verdict(prompt: str) -> str:
    """Grade the answer that stands in wildcore's grading prompt."""
    golds, answer = (_between(prompt, tag) for tag in ("gold", "answer"))
    said = normalise(answer).split()
    return "CORRECT" if any(_gives(said, normalise(gold).split()) for gold in golds.split("\n")) else "INCORRECT"


def _between(prompt: str, tag: str) -> str:
    found = re.findall(TAGGED.format(tag), prompt, re.DOTALL)
    return found[-1] if found else ""


def _gives(said: list[str], gold: list[str]) -> bool:
    places = [i for i in range(len(said) - len(gold) + 1) if gold and said[i : i + len(gold)] == gold]
    return len(places) == 1 and len(said) - len(gold) <= SPARE_WORDS


class Handler(BaseHTTPRequestHandler):
    """Answers every chat completion with a verdict."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Grade the last message."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = json.dumps({"verdict": verdict(request["messages"][-1]["content"])})
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}}
        body = {"id": "rule", "object": "chat.completion", "created": int(time.time()), "model": request["model"]}
        content = json.dumps(body | {"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8099)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()


if __name__ == "__main__":
    main()
