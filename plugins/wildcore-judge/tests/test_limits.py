"""What a server may not do to the judge: send without end, send elsewhere, report impossible numbers."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.client import MOST_BYTES, received
from wildcore_judge.completion import read_completion
from wildcore_judge.failures import Unreadable
from wildcore_judge.meter import Meter
from wildcore_judge.metric import Judge
from wildcore_judge.parameters import JudgeParams

from wildcore import Environment

from .judge_server import JudgeServer, Reaction, probes, says, sends

MakeJudge = Callable[..., Judge]
DEEP = "[" * 100_000
BOMB = gzip.compress(b'{"choices": ' + b" " * 20_000_000)
REASON = "the judge's server replies, but in a form that cannot be read"
UNREADABLE = {
    "endless": (Reaction("[" + " " * 65_000, endless=True), " (longer than 1,310,720 bytes)"),
    "long": (says("A" * 2_000_000), " (longer than 1,310,720 bytes)"),
    "a bomb": (Reaction(BOMB, headers={"Content-Encoding": "gzip"}), " (longer than 1,310,720 bytes)"),
    "a cut bomb": (Reaction(BOMB[:900], headers={"Content-Encoding": "gzip"}), ": '{\"choices\":'"),
    "no such compression": (Reaction("x", headers={"Content-Encoding": "br"}), " (compressed as 'br')"),
    "compressed twice": (
        Reaction("x", headers={"Content-Encoding": "gzip, gzip"}),
        " (compressed as 'gzip, gzip')",
    ),
    "not compressed": (
        says("A", headers={"Content-Encoding": "gzip"}),
        " (not compressed as 'gzip', as it claims to be)",
    ),
    "deep": (Reaction(DEEP + "]" * 100_000), " (nested too deeply): '[[[["),
    "deep objects": (Reaction('{"a":' * 100_000), ' (nested too deeply): \'{"a":{"a":'),
    "deep in an unused place": (
        Reaction(str(says("A").body)[:-1] + f', "more": {DEEP}{"]" * 100_000}}}'),
        ' (nested too deeply): \'{"id": "1",',
    ),
    "a stream of events": (Reaction('data: {"choices": []}\n\ndata: [DONE]\n'), ": 'data: {"),
    "control characters": (Reaction("\x1b]0;x\x07\x1b[2J"), r": '\x1b]0;x\x07\x1b[2J'"),
    "directions": (Reaction("\u202e\u2066x"), r": '\u202e\u2066x'"),
}


def notes(environment: Environment) -> list[str]:
    return environment.progress.notes  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(("reaction", "problem"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_reply_beyond_a_limit_is_not_read_and_counted(
    reaction: Reaction, problem: str, judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    server.react = lambda request: reaction
    scores = judge(concurrency=1).score(probes(2))
    assert all((score.reason or "").startswith(REASON + problem) for score in scores)
    assert f"2 are not judged: 2 {REASON}" in notes(environment)[-1]
    assert len(server.requests) == 4
    assert "4 of them counted at their most" in notes(environment)[-1]
    assert server.sent < 40_000_000


@pytest.mark.parametrize("depth", range(800, 1001, 20))
def test_a_depth_near_the_limit_is_read_or_refused(depth: int) -> None:
    body = '{"choices": [{"message": {"content": ' + "[" * depth + '"A"' + "]" * depth + "}}]}"
    try:
        assert read_completion(body.encode(), str).text == "A"
    except Unreadable as refusal:
        assert refusal.why.endswith("(nested too deeply)")  # noqa: PT017


def test_an_endless_error_is_an_error(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: Reaction("no such model. " * 5000, status=404, endless=True)
    scores = judge().score(probes(3))
    assert all(
        (score.reason or "").startswith("the judge's server refuses: 404: no such model. no") for score in scores
    )
    assert len(server.requests) == 1


def test_a_bomb_is_not_unpacked() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(BOMB), 4096):
            yield BOMB[start : start + 4096]

    tracemalloc.start()
    body = asyncio.run(received(chunks(), "gzip", MOST_BYTES))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(body) == MOST_BYTES + 1
    assert peak < 4 * MOST_BYTES < 20_000_000


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int, judge: MakeJudge, server: JudgeServer) -> None:
    place = server.url.replace("127.0.0.1", "localhost") + "/chat/completions"
    server.react = lambda request: Reaction("", status, {"Location": place})
    scores = judge().score(probes(3))
    assert {score.reason for score in scores} == {
        f"the judge's server redirects to {place} ({status}), which is not followed; give the address that is meant"
    }
    assert len(server.requests) == 1


IMPOSSIBLE = {
    "negative": {"prompt_tokens": -500, "completion_tokens": 9},
    "negative output": {"prompt_tokens": 500, "completion_tokens": -9},
    "nothing read": {"prompt_tokens": 0, "completion_tokens": 9},
    "more written than asked for": {"prompt_tokens": 500, "completion_tokens": 65},
    "more read than sent": {"prompt_tokens": 10_000, "completion_tokens": 9},
    "absurd": {"prompt_tokens": 10**9, "completion_tokens": 9},
    "absurd output": {"prompt_tokens": 500, "completion_tokens": 10**18},
    "5,000 digits": {"prompt_tokens": 10**4299, "completion_tokens": 9},
    "no whole number": {"prompt_tokens": 500.5, "completion_tokens": 9},
    "infinite": {"prompt_tokens": float("inf"), "completion_tokens": 9},
    "no number": {"prompt_tokens": float("nan"), "completion_tokens": 9},
    "text": {"prompt_tokens": "500", "completion_tokens": 9},
    "true": {"prompt_tokens": True, "completion_tokens": 9},
    "a list": {"prompt_tokens": [500], "completion_tokens": 9},
}
PRICES = {"input_price": 2.0, "output_price": 8.0}


@pytest.mark.parametrize("usage", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_numbers_of_tokens_are_ignored_and_said(
    usage: Any, judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    server.react = lambda request: sends({"content": "A"}, usage)
    metric = judge(budget=1.0, **PRICES)
    scores = metric.score(probes(4))
    assert [(score.value, score.details["input_tokens"]) for score in scores] == [(1.0, None)] * 4
    meter = metric.grader.meter  # type: ignore[attr-defined]
    assert meter.spent == sum_of_bounds(metric)
    assert (
        "4 requests, 4 of them counted at their most (the server reports impossible numbers of tokens for 4), "
        in notes(environment)[-1]
    )


def test_what_a_server_may_add_to_a_text_does_not_grow() -> None:
    meter = Meter(JudgeParams(model="m"))
    first = meter.bound("text")
    for added in (1_000, 1_000, 2_048):
        used = meter.plausible("text", 64, first.read + added, 9)
        assert used is not None
        meter.begin(meter.bound("text"))
        meter.end(meter.bound("text"), used)
    assert meter.plausible("text", 64, first.read + 2_049, 9) is None
    assert meter.bound("text").read == first.read + 2_048


@given(st.data())
def test_a_server_that_lies_spends_no_budget(data: Any) -> None:
    concurrency = data.draw(st.integers(1, 4))
    meter = Meter(JudgeParams(model="m", budget=0.05, max_tokens=20, **PRICES))
    lies = st.one_of(st.none(), st.integers(-5, 5_000), st.just(10**12))
    under_way: list[Any] = []
    for _ in range(60):
        text = data.draw(st.sampled_from(["", "text", "é" * 400]))
        bound = meter.bound(text)
        if len(under_way) < concurrency and meter.allows(bound):
            meter.begin(bound)
            under_way.append((text, bound))
        elif under_way:
            text, bound = under_way.pop(0)
            meter.end(bound, meter.plausible(text, 20, data.draw(lies), data.draw(lies)))
        else:
            break
    beyond = concurrency * 2_048 * PRICES["input_price"] / 1e6
    assert (meter.cost(meter.spent) or 0.0) <= 0.05 + beyond
    assert meter.guessed >= meter.implausible


def sum_of_bounds(metric: Judge) -> Any:
    meter = metric.grader.meter  # type: ignore[attr-defined]
    first, *others = [meter.bound(metric.prompt.render(item)) for item in probes(4)]
    for bound in others:
        first += bound
    return first


@pytest.mark.parametrize("usage", [None, [], 5, "many", {}, {"prompt_tokens": None}, {"prompt_tokens": 500}])
def test_missing_numbers_of_tokens_are_no_fault(
    usage: Any, judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    server.react = lambda request: sends({"content": "A"}, usage)
    assert judge().score(probes(1))[0].value == 1.0
    assert "impossible" not in notes(environment)[-1]
