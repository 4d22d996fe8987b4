"""Judging that is killed, and judging by two processes at once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from wildcore_judge.metric import Judge
from wildcore_judge.store import open_store
from wildcore_judge.verdict import Reply

from wildcore import Environment, UserError

from .judge_server import JudgeServer, probes, verdict

CONCURRENCY = 4
COUNT = 60
SCRIPT = """
import json, sys
from pathlib import Path
from wildcore_judge.metric import make_judge
from wildcore_judge.parameters import JudgeParams
from wildcore import AnsweredProbe, Environment
from wildcore.reporting.console import Reporter

items = [AnsweredProbe.model_validate(item) for item in json.loads(sys.stdin.read())]
judge = make_judge(JudgeParams(model="m", base_url=sys.argv[1], concurrency=int(sys.argv[3])))
judge.prepare(Environment(Path(sys.argv[2]), 0, Reporter(quiet=True)))
print(json.dumps([score.value for score in judge.score(items)]))
"""
RIGHT = [1.0, 0.0] * (COUNT // 2)

Start = Callable[[], "subprocess.Popen[str]"]


def heed_interrupts() -> None:
    """Undo what a shell does to jobs in the background, where these tests may run: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(server: JudgeServer, environment: Environment) -> Iterator[Start]:
    """Return a function that starts a process which judges; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []
    server.react = lambda request: replace(verdict(request), seconds=0.05)

    def begin() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", SCRIPT, server.url, str(environment.cache), str(CONCURRENCY)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, preexec_fn=heed_interrupts, **pipes)
        running.append(process)
        assert process.stdin
        process.stdin.write(json.dumps([item.model_dump() for item in probes(COUNT)]))
        process.stdin.close()
        process.stdin = None
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def finished(process: "subprocess.Popen[str]") -> list[float | None]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    values: list[float | None] = json.loads(out)
    return values


def wait_for_requests(server: JudgeServer, count: int) -> None:
    limit = time.monotonic() + 30
    while len(server.requests) < count:
        assert time.monotonic() < limit, "the requests do not come"
        time.sleep(0.005)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_judge_that_is_stopped_loses_only_what_is_under_way(
    end: signal.Signals, start: Start, server: JudgeServer
) -> None:
    first = start()
    wait_for_requests(server, COUNT // 3)
    first.send_signal(end)
    stopped = time.monotonic()
    first.communicate(timeout=30)
    assert first.returncode != 0
    assert time.monotonic() - stopped < 10
    before = len(server.requests)
    assert COUNT // 3 <= before < COUNT
    assert finished(start()) == RIGHT
    asked = server.asked()
    assert len(asked) == COUNT
    assert max(asked.values()) <= 2
    assert COUNT < sum(asked.values()) <= COUNT + CONCURRENCY


def test_two_processes_at_once_ask_nothing_twice(start: Start, server: JudgeServer) -> None:
    both = [start(), start()]
    assert [finished(process) for process in both] == [RIGHT, RIGHT]
    assert server.asked() == {item.answer.text: 1 for item in probes(COUNT)}


def test_a_process_takes_over_what_another_was_killed_over(start: Start, server: JudgeServer) -> None:
    first = start()
    wait_for_requests(server, 10)
    second = start()
    wait_for_requests(server, 20)
    os.kill(first.pid, signal.SIGKILL)
    assert finished(second) == RIGHT
    assert sum(server.asked().values()) <= COUNT + CONCURRENCY


def test_a_verdict_is_on_disk_before_the_next_question(
    judge: Callable[..., Judge], server: JudgeServer, environment: Environment
) -> None:
    metric = judge(concurrency=1)
    texts = [metric.prompt.render(item) for item in probes(6)]
    stored: list[int] = []
    who = {"model": "m", "base_url": server.url}

    def look(request: object) -> object:
        with open_store(environment.cache, who, metric.prompt.version) as store:
            stored.append(sum(store.get(text) is not None for text in texts))
        return verdict(request)  # type: ignore[arg-type]

    server.react = look  # type: ignore[assignment]
    metric.score(probes(6))
    assert stored == [0, 1, 2, 3, 4, 5]


def test_a_damaged_store_is_refused_before_anything_is_asked(
    environment: Environment, judge: Callable[..., Judge]
) -> None:
    folder = environment.cache / "judge"
    folder.mkdir(parents=True)
    (folder / "verdicts.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(
        UserError,
        match=r"verdicts\.sqlite: the stored verdicts cannot be used \(file is not .*, or move the file away",
    ):
        judge()


def test_the_store_holds_no_text_that_was_judged(judge: Callable[..., Judge], environment: Environment) -> None:
    judge().score(probes(3))
    content = b"".join(file.read_bytes() for file in (environment.cache / "judge").iterdir())
    assert b"CORRECT" in content
    assert b"answer 1" not in content
    assert b"Where?" not in content


def test_a_store_of_an_earlier_version_still_opens(tmp_path: Path) -> None:
    with open_store(tmp_path, {"model": "a"}, "1") as store:
        store.put("text", Reply(text="A"))
        store.put("other", Reply(text="A"))
    earlier = (
        '{"text":"<think>B</think>A: CORRECT","answered_by":"m","input_tokens":500,"output_tokens":9,"cut_off":false,'
        '"constraint_requested":true,"temperature":0.0}'
    )
    with closing(sqlite3.connect(tmp_path / "judge" / "verdicts.sqlite")) as connection, connection:
        assert connection.execute("UPDATE verdicts SET reply = ?", (earlier,)).rowcount == 2
        connection.execute("ALTER TABLE verdicts DROP COLUMN checksum")
    with open_store(tmp_path, {"model": "a"}, "1") as store:
        found = store.get("text")
    assert found
    assert (found.verdict, found.input_tokens, found.only_thoughts) == ("CORRECT", 500, False)
    with open_store(tmp_path, {"model": "a"}, "1", letters={"A": "INCORRECT", "B": "CORRECT"}) as store:
        assert store.get("text") is None  # the letter and the word contradict each other


def test_the_same_text_judged_by_others_is_kept_apart(tmp_path: Path) -> None:
    for judge_name, prompt, reply in (("a", "1", "A"), ("b", "1", "B"), ("a", "2", "B")):
        with open_store(tmp_path, {"model": judge_name}, prompt) as store:
            assert store.get("text") is None
            store.put("text", Reply(text=reply))
    with open_store(tmp_path, {"model": "a"}, "1") as store:
        assert store.get("text") == Reply(text="A")
        store.put("text", Reply(text="perhaps"))
        assert store.get("text") is None


def test_a_damaged_verdict_is_noted_and_asked_for_anew(
    judge: Callable[..., Judge], server: JudgeServer, environment: Environment
) -> None:
    judge().score(probes(3))
    path = environment.cache / "judge" / "verdicts.sqlite"
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE verdicts SET reply = replace(reply, 'INCORRECT', 'CORRECT')")
    before = len(server.requests)
    assert [score.value for score in judge().score(probes(3))] == [1.0, 0.0, 1.0]
    assert len(server.requests) == before + 1, "only the verdict that was changed is asked for"
    assert [score.value for score in judge().score(probes(3))] == [1.0, 0.0, 1.0]
    assert len(server.requests) == before + 1


def test_no_flipped_bit_gives_another_verdict(tmp_path: Path) -> None:
    kept = {f"text {number}": Reply(text="A" if number % 2 else "B") for number in range(8)}
    with open_store(tmp_path, {"model": "m"}, "1") as store:
        for text, reply in kept.items():
            store.put(text, reply)
    path = tmp_path / "judge" / "verdicts.sqlite"
    whole, refused, damaged = path.read_bytes(), 0, 0
    for bit in range(5, 8 * len(whole), 1499):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            with open_store(tmp_path, {"model": "m"}, "1") as store:
                assert {text: found for text in kept if (found := store.get(text))}.items() <= kept.items()
                damaged += len(list(store.notes()))
        except UserError:
            refused += 1
    assert refused > 0
    assert damaged > 0
