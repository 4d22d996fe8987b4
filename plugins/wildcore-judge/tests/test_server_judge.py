"""A judge behind a server, and everything that a server may do instead of answering."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.failures import seconds_to_wait
from wildcore_judge.metric import Judge, make_judge
from wildcore_judge.parameters import JudgeParams

from wildcore import Environment, Score, UserError

from .judge_server import JudgeServer, Reaction, fails, graded, probe, probes, says

MakeJudge = Callable[..., Judge]
GOOD = '{"verdict": "CORRECT"}'
PASSING = {
    "429": fails(429),
    "429 with seconds": fails(429, headers={"Retry-After": "0.01"}),
    "429 with a senseless header": fails(429, headers={"Retry-After": "soon"}),
    "500": fails(500),
    "503": fails(503),
    "408": fails(408),
    "reset": Reaction(reset=True),
    "hang": says(GOOD, seconds=3.0),
    "connection closed in the middle": says(GOOD, missing_bytes=40),
    "an error as a success": Reaction('{"error": {"message": "overloaded"}}'),
}
UNREADABLE = {
    "truncated JSON": Reaction(says(GOOD).body[:60]),
    "no choice": Reaction('{"choices": []}'),
    "another shape": Reaction("[1, 2]"),
    "a page": Reaction("<html>Bad gateway</html>", content_type="text/html"),
    "nothing": Reaction(""),
}


def notes(environment: Environment) -> list[str]:
    return environment.progress.notes  # type: ignore[attr-defined, no-any-return]


def test_every_answer_is_asked_once_and_scored_in_order(judge: MakeJudge, server: JudgeServer) -> None:
    items = probes(40)
    scores = judge().score(items)
    assert [score.value for score in scores] == [1.0, 0.0] * 20
    assert server.asked() == {item.answer.text: 1 for item in items}


def test_what_is_the_same_is_asked_once(judge: MakeJudge, server: JudgeServer) -> None:
    same = [probe("Paris"), probe("Rome"), probe("Paris"), probe("Paris", question="And where?"), probe("Rome")]
    assert [score.value for score in judge().score(same)] == [1.0, 0.0, 1.0, 1.0, 0.0]
    assert server.asked() == {"Paris": 2, "Rome": 1}


def test_a_score_says_how_it_was_obtained(judge: MakeJudge, server: JudgeServer) -> None:
    metric = judge()
    (score,) = metric.score([probe("Paris")])
    assert score.details == {
        "model": "m",
        "prompt": metric.prompt.version,
        "verdict": "CORRECT",
        "reply": GOOD,
        "answered_by": "judge-2026-01-01",
        "input_tokens": 500,
        "output_tokens": 9,
        "cut_off": False,
        "only_thoughts": False,
        "constraint_requested": True,
        "temperature": 0.0,
        "known_before": False,
    }
    assert Score.model_validate_json(score.model_dump_json()) == score


def test_how_a_question_is_put(judge: MakeJudge, server: JudgeServer) -> None:
    metric = judge(max_tokens=17)
    item = probe("")
    metric.score([item])
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["messages"] == [{"role": "user", "content": metric.prompt.render(item)}]
    assert (request["model"], request["temperature"], request["seed"], request["max_tokens"]) == ("m", 0.0, 0, 17)
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["verdict"]["enum"] == ["CORRECT", "INCORRECT"]
    assert graded(request) == ("Paris", "")


def test_verdicts_are_kept_and_not_asked_for_again(judge: MakeJudge, server: JudgeServer) -> None:
    items = probes(6)
    first = judge().score(items[:4])
    again = judge().score(items)
    assert [score.value for score in again] == [1.0, 0.0] * 3
    assert [score.details["known_before"] for score in again] == [True] * 4 + [False] * 2
    assert [s.details["reply"] for s in again[:4]] == [s.details["reply"] for s in first]
    assert sum(server.asked().values()) == 6


def test_another_judge_or_prompt_is_asked_anew(judge: MakeJudge, server: JudgeServer, tmp_path: Any) -> None:
    judge().score([probe("Paris")])
    judge(model="other").score([probe("Paris")])
    judge(base_url=server.url.replace("127.0.0.1", "localhost")).score([probe("Paris")])
    own = tmp_path / "own.txt"
    own.write_text("Own: {question}\n<gold>\n{gold}\n</gold>\n<answer>\n{answer}\n</answer>")
    judge(prompt_file=own).score([probe("Paris")])
    assert len(server.requests) == 4
    judge(prompt_file=own, concurrency=1, timeout=7.0).score([probe("Paris")])
    assert len(server.requests) == 4


@pytest.mark.parametrize("reaction", [*PASSING.values(), *UNREADABLE.values()], ids=[*PASSING, *UNREADABLE])
def test_a_failure_that_passes_costs_one_request_and_nothing_else(
    reaction: Reaction, judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    server.script = [says(GOOD), reaction]
    items = probes(5)
    scores = judge(timeout=0.3 if reaction.seconds else 5.0).score(items)
    assert [score.value for score in scores] == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert len(server.requests) == 6
    assert sorted(server.asked().values()) == [1, 1, 1, 1, 2]
    judge().score(items)
    assert len(server.requests) == 6


@pytest.mark.parametrize("reaction", PASSING.values(), ids=PASSING)
def test_a_failure_that_does_not_pass_leaves_its_answer_unscored_and_no_other(
    reaction: Reaction, judge: MakeJudge, server: JudgeServer
) -> None:
    server.react = lambda request: reaction if graded(request)[1] == "answer 1" else says(GOOD)
    metric = judge(attempts=3, timeout=0.3 if reaction.seconds else 5.0)
    scores = metric.score(probes(4))
    assert [score.value for score in scores] == [1.0, None, 1.0, 1.0]
    assert (scores[1].reason or "").startswith("the judge gives no reply: ")
    assert server.asked() == {"answer 0": 1, "answer 1": 3, "answer 2": 1, "answer 3": 1}
    server.react = lambda request: says("B")
    assert judge().score(probes(4))[1].value == 0.0
    assert server.asked()["answer 1"] == 4
    assert sum(server.asked().values()) == 7


@pytest.mark.parametrize("reaction", UNREADABLE.values(), ids=UNREADABLE)
def test_a_reply_that_cannot_be_read_is_asked_for_once_more(
    reaction: Reaction, judge: MakeJudge, server: JudgeServer
) -> None:
    server.react = lambda request: reaction if graded(request)[1] == "answer 1" else says(GOOD)
    scores = judge().score(probes(4))
    assert [score.value for score in scores] == [1.0, None, 1.0, 1.0]
    said = str(reaction.body)[:60]
    why = f": {said!r:.60}" if said else " (it is empty)"
    assert (scores[1].reason or "").startswith(f"the judge's server replies, but in a form that cannot be read{why}")
    assert server.asked() == {"answer 0": 1, "answer 1": 2, "answer 2": 1, "answer 3": 1}


def test_a_server_whose_replies_cannot_be_read_is_named_as_such_and_left_alone(
    judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    server.react = lambda request: Reaction(
        '{"message": {"content": "CORRECT"},\n"done": true, "x": "' + "y" * 400 + '"}'
    )
    scores = judge(concurrency=1, give_up_after=3).score(probes(9))
    said = ('{"message": {"content": "CORRECT"}, "done": true, "x": "' + "y" * 400)[:200]
    reason = f"the judge's server replies, but in a form that cannot be read: '{said}'..."
    assert {score.reason for score in scores} == {reason}
    assert len(server.requests) == 6
    assert notes(environment)[-1].endswith(f"9 are not judged: 9 {reason}")


@pytest.mark.parametrize("text", ["", None, "I cannot say.", "The answer is Paris, which is CORRECT.", "A B"])
def test_an_unclear_reply_is_recorded_and_not_asked_for_again(
    text: str | None, judge: MakeJudge, server: JudgeServer
) -> None:
    server.react = lambda request: says(text) if graded(request)[1] == "answer 1" else says("A.")
    scores = judge().score(probes(3))
    assert [score.value for score in scores] == [1.0, None, 1.0]
    assert (scores[1].reason or "").startswith("unclear reply: ")
    assert scores[1].details["reply"] == (text or "")
    assert scores[1].details["verdict"] is None
    assert server.asked() == {"answer 0": 1, "answer 1": 1, "answer 2": 1}


def at_its_own_temperature(*replies: Reaction) -> Callable[[Any], Reaction]:
    """Return a server's reaction: it refuses a temperature, and otherwise replies in this order, the last for ever."""
    left = list(replies)

    def react(request: Any) -> Reaction:
        if "temperature" in request:
            return fails(400, "temperature does not support 0")
        return left.pop(0) if len(left) > 1 else left[0]

    return react


def test_a_server_at_its_own_temperature_is_asked_a_second_time(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = at_its_own_temperature(says("Well."), says("**INCORRECT**"))
    (score,) = judge().score([probe("Paris")])
    assert (score.value, score.details["reply"], len(server.requests)) == (0.0, "**INCORRECT**", 3)


def test_an_unclear_reply_is_asked_for_at_most_once_more(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = at_its_own_temperature(says("Well."), says("Hm."))
    (score,) = judge().score([probe("Paris")])
    assert (score.value, score.reason, len(server.requests)) == (None, "unclear reply: 'Well.'", 3)


def test_an_unclear_reply_is_kept_where_the_server_fails_the_second_time(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = at_its_own_temperature(says("Well."), fails(500))
    (score,) = judge(attempts=2).score([probe("Paris")])
    assert (score.value, score.reason, score.details["reply"]) == (None, "unclear reply: 'Well.'", "Well.")
    assert len(server.requests) == 4


def thinking(request: Any) -> Reaction:
    """React as a model that thinks for more than 1,000 tokens before its verdict."""
    if request.get("max_tokens", request.get("max_completion_tokens")) < 1000:
        return says("<think>It may be A.", finish="length")
    return says("<think>It may be A.</think>B")


def test_a_reply_that_was_cut_off_is_asked_for_with_more_tokens(
    judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    server.react = thinking
    scores = judge().score(probes(3))
    assert [score.value for score in scores] == [0.0] * 3
    assert sorted(request["max_tokens"] for request in server.requests) == [64] * 3 + [4096] * 3
    assert notes(environment)[-2] == (
        "judge m: replies cut off at 64 tokens: 3 asked for again with 4096, 3 of them clear then; "
        "metric.judge.max_tokens sets the first number"
    )


def test_more_tokens_are_asked_for_by_the_name_that_the_server_takes(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: (
        fails(400, "Use 'max_completion_tokens' instead of 'max_tokens'.")
        if "max_tokens" in request
        else thinking(request)
    )
    (score,) = judge(max_tokens=999).score([probe("Paris")])
    assert score.value == 0.0
    assert [request.get("max_completion_tokens") for request in server.requests] == [None, 999, 4096]


@pytest.mark.parametrize("usage", [{"prompt_tokens": 500, "completion_tokens": 64}, None])
def test_a_reply_that_has_all_its_tokens_was_cut_off_even_if_no_reason_is_given(
    usage: Any, judge: MakeJudge, server: JudgeServer
) -> None:
    server.script = [says("<think>It may", usage, finish="eos")]
    (score,) = judge().score([probe("Paris")])
    assert (score.value, len(server.requests)) == ((1.0, 2) if usage else (None, 1))


def test_more_tokens_are_no_longer_asked_for_where_they_do_not_help(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: says("A", finish="length")
    scores = judge(concurrency=1).score(probes(6))
    assert {score.reason for score in scores} == {"unclear reply: cut off at max_tokens: 'A'"}
    assert [request["max_tokens"] for request in server.requests] == [64, 4096] * 3 + [64] * 3


def test_a_budget_too_small_for_more_tokens_is_left_to_the_other_answers(judge: MakeJudge, server: JudgeServer) -> None:
    server.script = [says("Well", finish="length")]
    scores = judge(budget=0.02, input_price=1.0, output_price=8.0, concurrency=1).score(probes(3))
    assert [score.value for score in scores] == [None, 0.0, 1.0]
    assert scores[0].reason == "unclear reply: cut off at max_tokens: 'Well'"
    assert [request["max_tokens"] for request in server.requests] == [64] * 3


def test_a_retry_after_in_seconds_silences_every_request(judge: MakeJudge, server: JudgeServer) -> None:
    server.script = [says(GOOD), fails(429, headers={"Retry-After": "1.0"})]
    scores = judge(concurrency=2).score(probes(12))
    assert None not in [score.value for score in scores]
    refused = server.times[1]
    heard = refused + 0.5  # until then other replies may be on their way
    assert not [moment for moment in server.times if heard < moment < refused + 0.99]
    assert max(server.times) > refused + 0.99
    assert len(server.requests) == 13


def test_a_retry_after_as_a_date_is_obeyed(judge: MakeJudge, server: JudgeServer) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    server.script = [fails(503, headers={"Retry-After": format_datetime(moment, usegmt=True)})]
    (score,) = judge().score([probe("Paris")])
    assert score.value == 1.0
    assert server.times[1] >= moment.timestamp()


@given(st.floats(0, 1e6))
def test_seconds_to_wait(seconds: float) -> None:
    assert seconds_to_wait(str(seconds)) == seconds
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    assert seconds_to_wait(date) == pytest.approx(seconds, abs=2.0)


@pytest.mark.parametrize("header", [None, "", "soon", "nan", "inf", "Mon, 99 Foo 2026", "-"])
def test_no_seconds_to_wait(header: str | None) -> None:
    assert seconds_to_wait(header) is None


@pytest.mark.parametrize("header", ["-5", "Mon, 01 Jan 2001 00:00:00 GMT", "Mon, 01 Jan 2001 00:00:00"])
def test_a_moment_that_has_passed_is_now(header: str) -> None:
    assert seconds_to_wait(header) == 0.0


def test_a_server_that_asks_for_too_long_a_wait_is_left_alone(
    judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    server.script = [says(GOOD), fails(429, "come back tomorrow", {"Retry-After": "86400"})]
    start = time.monotonic()
    scores = judge(concurrency=1).score(probes(5))
    assert time.monotonic() - start < 5
    assert [score.value for score in scores] == [1.0, None, None, None, None]
    assert {score.reason for score in scores[1:]} == {
        'the judge cannot be reached: it asks to wait 86400 s (429: {"error": {"message": "come back tomorrow"}})'
    }
    assert len(server.requests) == 2
    assert "4 are not judged: 4 the judge cannot be reached: it asks to wait" in notes(environment)[-1]


def test_back_off_grows_up_to_a_bound(judge: MakeJudge, server: JudgeServer) -> None:
    server.script = [fails(500)] * 5
    judge(first_wait=0.1, longest_wait=0.4, attempts=6).score([probe("Paris")])
    waits = [later - earlier for earlier, later in zip(server.times, server.times[1:], strict=False)]
    assert len(waits) == 5
    assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2, 0.2, 0.2), strict=True))
    assert waits[-1] < 1.5


def test_no_more_requests_at_once_than_allowed(judge: MakeJudge, server: JudgeServer) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def slow(request: Any) -> Reaction:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        return says(GOOD)

    take = server.take

    def counting(request: Any) -> Reaction:
        reaction = take(request)
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return reaction

    server.react, server.take = slow, counting  # type: ignore[method-assign]
    judge(concurrency=3).score(probes(24))
    assert most[0] == 3


def test_a_server_that_is_down_is_soon_left_alone(environment: Environment, server: JudgeServer) -> None:
    with JudgeServer() as closed:
        url = closed.url
    params = JudgeParams(model="m", base_url=url, first_wait=0.0, attempts=2, give_up_after=3)
    metric = make_judge(params)
    metric.prepare(environment)
    scores = metric.score(probes(50))
    assert all(score.value is None for score in scores)
    reasons = [score.reason or "" for score in scores]
    assert reasons[0].startswith("the judge gives no reply: ")
    assert all(reason.startswith("the judge cannot be reached: ") for reason in reasons[2:])
    assert "refused" in reasons[-1].lower() or "failed" in reasons[-1].lower()
    assert metric.grader.meter.requests == 6  # type: ignore[attr-defined]
    assert "50 are not judged: 2 the judge gives no reply: " in notes(environment)[-1]


def test_failures_with_replies_between_them_are_no_reason_to_stop(judge: MakeJudge, server: JudgeServer) -> None:
    bad = ("answer 1", "answer 3", "answer 4", "answer 6")
    server.react = lambda request: fails(500) if graded(request)[1] in bad else says(GOOD)
    scores = judge(concurrency=1, attempts=2, give_up_after=3).score(probes(9))
    assert [index for index, score in enumerate(scores) if score.value is None] == [1, 3, 4, 6]
    assert len(server.requests) == 5 + 2 * 4


def test_a_server_that_goes_down_in_the_middle(judge: MakeJudge, server: JudgeServer) -> None:
    server.script = [says(GOOD)] * 10
    server.react = lambda request: fails(502)
    scores = judge(concurrency=1, attempts=2, give_up_after=2).score(probes(30))
    assert [score.value for score in scores] == [1.0] * 10 + [None] * 20
    assert len(server.requests) == 10 + 2 * 2
    server.react = lambda request: says("B")
    assert [score.value for score in judge().score(probes(30))] == [1.0] * 10 + [0.0] * 20
    assert len(server.requests) == 10 + 2 * 2 + 20


@pytest.mark.parametrize(
    ("reaction", "reason"),
    [
        (fails(401), "the judge's server does not accept no key (401)"),
        (fails(403, "forbidden"), 'the judge\'s server refuses: 403: {"error": {"message": "forbidden"}}'),
        (fails(402, "no money"), "the judge's server refuses: 402"),
        (fails(404, "no such model"), "the judge's server refuses: 404"),
        (fails(429, "insufficient_quota"), "the judge's server refuses: 429"),
    ],
)
def test_a_server_that_will_not_judge_is_asked_once(
    reaction: Reaction, reason: str, judge: MakeJudge, server: JudgeServer
) -> None:
    server.react = lambda request: reaction
    scores = judge().score(probes(9))
    assert len(server.requests) == 1
    assert all(score.value is None and (score.reason or "").startswith(reason) for score in scores)


@pytest.mark.parametrize("status", [400, 422, 501])
def test_a_server_without_constrained_replies_is_asked_without_once_and_for_all(
    status: int, judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    plain = {"answer 0": "A"}
    server.react = lambda request: (
        fails(status, "json_schema is not supported")
        if "response_format" in request
        else says(plain.get(graded(request)[1], "B: INCORRECT"))
    )
    scores = judge().score(probes(20))
    assert [score.value for score in scores] == [1.0] + [0.0] * 19
    assert len(server.requests) == 21
    assert ["response_format" in request for request in server.requests] == [True] + [False] * 20
    assert all(request["seed"] == 0 and request["temperature"] == 0 for request in server.requests)
    assert [note for note in notes(environment) if "does not take" in note] == [
        "the judge's server does not take response_format; it is asked without constraining the reply"
    ]
    assert {score.details["constraint_requested"] for score in scores} == {False}


def test_options_that_a_server_names_are_left_out_one_by_one(
    judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    def picky(request: Any) -> Reaction:
        if "max_tokens" in request:
            return fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in request:
            return fails(400, "Unsupported value: 'temperature' does not support 0 with this model.")
        return fails(422, "unexpected field: seed") if "seed" in request else says(GOOD)

    server.react = picky
    scores = judge(max_tokens=33).score(probes(5))
    assert {score.value for score in scores} == {1.0}
    assert len(server.requests) == 5 + 3
    last = server.requests[-1]
    assert last["max_completion_tokens"] == 33
    assert "response_format" in last
    assert {score.details["temperature"] for score in scores} == {None}
    assert len([note for note in notes(environment) if "does not take" in note]) == 2


def test_a_text_that_is_refused_leaves_the_options_and_the_others_alone(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: (
        fails(400, "content policy") if graded(request)[1] in ("answer 0", "answer 7") else says(GOOD)
    )
    scores = judge().score(probes(10))
    assert [index for index, score in enumerate(scores) if score.value is None] == [0, 7]
    assert (scores[7].reason or "").startswith("the judge's server refuses this text: 400: ")
    assert server.asked() == {f"answer {n}": 2 if n == 0 else 1 for n in range(10)}
    assert all(score.details["constraint_requested"] for score in scores if score.value is not None)


def test_a_server_that_refuses_every_text_is_left_alone(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: fails(400, "model is not multimodal")
    scores = judge(give_up_after=3, constrain=False).score(probes(30))
    assert len(server.requests) == 3
    assert {score.value for score in scores} == {None}


def test_unconstrained_where_that_is_asked_for(judge: MakeJudge, server: JudgeServer) -> None:
    (score,) = judge(constrain=False).score([probe("Paris")])
    assert "response_format" not in server.requests[0]
    assert score.details["constraint_requested"] is False


def test_a_reply_without_usage_is_scored(judge: MakeJudge, server: JudgeServer, environment: Environment) -> None:
    server.react = lambda request: says("A", usage=None)
    (score,) = judge().score([probe("Paris")])
    assert (score.value, score.details["input_tokens"]) == (1.0, None)
    assert "1 requests, 1 of them counted at their most" in notes(environment)[-1]


def test_the_wrong_content_type_does_no_harm(judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: says("CORRECT", content_type="text/plain; charset=latin-1")
    assert judge().score([probe("Paris")])[0].value == 1.0


def test_nothing_to_score_asks_nothing_and_says_nothing(
    judge: MakeJudge, server: JudgeServer, environment: Environment
) -> None:
    assert judge().score([]) == []
    assert (server.requests, notes(environment)) == ([], [])


def test_it_works_where_an_event_loop_runs(judge: MakeJudge) -> None:
    async def notebook() -> list[Score]:
        return judge().score(probes(3))

    assert [score.value for score in asyncio.run(notebook())] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://host/v1", "http://", "http://h:port/", "http://[::1"])
def test_no_address(address: str) -> None:
    with pytest.raises(UserError, match=r"base_url: not an address; write it as http://localhost:8000/v1"):
        make_judge(JudgeParams(model="m", base_url=address))


def test_an_address_in_the_environment_decides_nothing(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, server: JudgeServer, judge: MakeJudge
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    metric = make_judge(JudgeParams(model="m"))
    with pytest.raises(UserError, match="OPENAI_BASE_URL is set in the environment, which decides nothing here"):
        metric.prepare(environment)
    judge().score([probe("Paris")])
    assert len(server.requests) == 1


def test_score_before_prepare_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="prepare"):
        make_judge(JudgeParams(model="m", base_url="http://localhost:1/v1")).score([probe("Paris")])
