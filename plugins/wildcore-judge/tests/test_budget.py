"""No request is sent that might exceed a budget, and what was spent is counted to the token."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.meter import Meter, Tokens
from wildcore_judge.metric import Judge, make_judge
from wildcore_judge.parameters import JudgeParams

from wildcore import Environment, UserError

from .judge_server import USAGE, JudgeServer, Reaction, fails, probes, says

MakeJudge = Callable[..., Judge]
PRICES = {"input_price": 2.0, "output_price": 8.0}
COST = (USAGE["prompt_tokens"] * 2.0 + USAGE["completion_tokens"] * 8.0) / 1e6


def notes(environment: Environment) -> list[str]:
    return environment.progress.notes  # type: ignore[attr-defined, no-any-return]


def most(judge: Judge) -> float:
    """Return the most that a request for one of these answers may cost, in USD."""
    text = judge.prompt.render(probes(1)[0])
    meter = Meter(JudgeParams(model="m", **PRICES))
    return meter.cost(meter.bound(text)) or 0.0


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_budget_stops_before_the_first_request_that_might_exceed_it(
    concurrency: int, judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    allowed = 7
    budget = (allowed - 1) * COST + most(judge())
    metric = judge(budget=budget, concurrency=concurrency, **PRICES)
    scores = metric.score(probes(10))
    assert len(server.requests) == allowed
    assert [score.reason for score in scores if score.value is None] == ["budget reached"] * 3
    assert allowed * COST <= budget < allowed * COST + most(metric)
    spent = f"{allowed * 500:,} tokens read and {allowed * 9} written, ${allowed * COST:.4f}"
    assert notes(environment)[-1].endswith(f"{allowed} requests, {spent}; 3 are not judged: 3 budget reached")
    less = judge(budget=budget - 1e-9, concurrency=concurrency, **PRICES)
    less.score(probes(30)[10:])
    assert len(server.requests) == allowed + allowed - 1


def test_what_the_budget_left_is_asked_by_the_next_call(judge: MakeJudge, server: JudgeServer) -> None:
    first = judge(budget=3 * COST + most(judge()), **PRICES).score(probes(10))
    assert sum(score.value is not None for score in first) == 4
    second = judge(budget=1.0, **PRICES).score(probes(10))
    assert [score.value for score in second] == [1.0, 0.0] * 5
    assert len(server.requests) == 10


def test_a_budget_too_small_for_anything_sends_nothing(judge: MakeJudge, server: JudgeServer) -> None:
    scores = judge(budget=0.0, **PRICES).score(probes(3))
    assert ([score.reason for score in scores], server.requests) == (["budget reached"] * 3, [])


def test_a_budget_holds_over_several_calls_of_one_judge(judge: MakeJudge, server: JudgeServer) -> None:
    metric = judge(request_budget=5)
    metric.score(probes(3))
    scores = metric.score(probes(9))
    assert sum(score.value is not None for score in scores) == 5
    assert len(server.requests) == 5


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_budget_of_requests_counts_repeated_ones(concurrency: int, judge: MakeJudge, server: JudgeServer) -> None:
    server.script = [says("A"), fails(500), fails(500), says("unclear")]
    scores = judge(request_budget=12, concurrency=concurrency).score(probes(20))
    assert len(server.requests) == 12
    assert sum(score.value is not None for score in scores) in (8, 9)
    assert {score.reason for score in scores if score.value is None} <= {"budget reached", "unclear reply: 'unclear'"}


def test_a_request_without_a_reply_is_counted_at_its_most(judge: MakeJudge, server: JudgeServer) -> None:
    server.script = [says("A", seconds=1.0), Reaction(reset=True), Reaction("{")]
    metric = judge(timeout=0.2, **PRICES)
    metric.score(probes(1))
    meter = metric.grader.meter  # type: ignore[attr-defined]
    assert (meter.requests, meter.guessed) == (4, 3)
    assert meter.cost(meter.spent) == pytest.approx(3 * most(metric) + COST)


def test_an_error_status_costs_nothing(judge: MakeJudge, server: JudgeServer) -> None:
    server.script = [fails(500), fails(429), fails(400, "response_format")]
    metric = judge()
    metric.score(probes(1))
    meter = metric.grader.meter  # type: ignore[attr-defined]
    assert (meter.requests, meter.guessed, meter.spent) == (4, 0, Tokens(500, 9))
    assert (meter.reserved, meter.under_way) == (Tokens(), 0)


def test_a_server_that_counts_more_is_believed(judge: MakeJudge, server: JudgeServer) -> None:
    metric = judge(**PRICES)
    bound = Meter(metric.grader.params).bound(metric.prompt.render(probes(1)[0]))  # type: ignore[attr-defined]
    usage = {"prompt_tokens": bound.read + 1_500, "completion_tokens": 1}
    server.react = lambda request: says("A", usage)
    judge(budget=2 * (bound.read + 1_500) * PRICES["input_price"] / 1e6, concurrency=1, **PRICES).score(probes(9))
    assert len(server.requests) == 1


@pytest.mark.parametrize("given_price", [{}, {"input_price": 1.0}, {"output_price": 1.0}])
def test_a_budget_without_prices_is_refused(given_price: dict[str, float]) -> None:
    with pytest.raises(UserError, match="the prices are not known; give both"):
        make_judge(JudgeParams(model="m", budget=1.0, **given_price))


def test_it_says_beforehand_what_is_to_come(judge: MakeJudge, server: JudgeServer, environment: Environment) -> None:
    judge(**PRICES).score(probes(4))
    notes(environment).clear()
    judge(**PRICES).score(probes(10))
    before, after = notes(environment)
    text = judge().prompt.render(probes(1)[0])
    about = 6 * (len(text) // 4 + 10)
    assert before.startswith(
        f"judge m at {server.url}, with no key: 10 different answers to judge, 4 of them known already; "
    )
    assert f"6 to ask, about {about:,} tokens, $0.00" in before
    assert after == f"judge m, so far: 6 requests, 3,000 tokens read and 54 written, ${6 * COST:.4f}; all are judged"
    notes(environment).clear()
    judge().score(probes(10))
    assert len(notes(environment)) == 1
    assert notes(environment)[0].endswith("10 of them known already; nothing to ask")


def test_without_prices_the_cost_is_said_to_be_unknown(judge: MakeJudge, environment: Environment) -> None:
    judge().score(probes(2))
    assert all("cost unknown (no prices given)" in note for note in notes(environment))
    assert not any("$" in note for note in notes(environment))


@given(st.data())
def test_a_meter_never_lets_its_budget_be_exceeded(data: Any) -> None:
    budget = data.draw(st.floats(0, 0.02))
    meter = Meter(JudgeParams(model="m", budget=budget, max_tokens=20, **PRICES))
    under_way: list[Tokens] = []
    for text in data.draw(st.lists(st.text(max_size=500), max_size=30)):
        bound = meter.bound(text)
        if meter.allows(bound):
            meter.begin(bound)
            under_way.append(bound)
        if under_way and data.draw(st.booleans()):
            ended = under_way.pop(0)
            read, written = data.draw(st.integers(0, ended.read)), data.draw(st.integers(0, ended.written))
            meter.end(ended, data.draw(st.sampled_from([None, Tokens(), Tokens(read, written)])))
        assert (meter.cost(meter.spent + meter.reserved) or 0.0) <= budget
    for ended in under_way:
        meter.end(ended, None)
    assert (meter.reserved, meter.under_way) == (Tokens(), 0)
