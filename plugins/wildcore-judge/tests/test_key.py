"""The server's key goes to the server and nowhere else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.key import Key, read_key
from wildcore_judge.metric import Judge, make_judge
from wildcore_judge.parameters import JudgeParams

from wildcore import Environment, UserError

from .judge_server import KEY, JudgeServer, Reaction, fails, graded, probe, probes, says

LEAKS = {
    "reply": says(f"Your key is {KEY}"),
    "verdict and model": Reaction(says('{"verdict": "CORRECT"}').body.replace("judge-2026-01-01", KEY)),
    "401": fails(401, f"Incorrect API key provided: {KEY[:8]}****{KEY[-4:]}"),
    "400": fails(400, f"bad request: Authorization: Bearer {KEY}"),
    "403": fails(403, f"{KEY} is blocked"),
    "500": fails(500, f"dump: {json.dumps({'auth': KEY})} {KEY!r}"),
    "500 escaped": fails(500, "GET /?key=sk-distinctive%2F0123456789%2Babcdef%3D%3D"),
    "a page": Reaction(f"<html>{KEY}</html>", content_type="text/html"),
}
SCRIPT = """
import sys
from pathlib import Path
from wildcore_judge.metric import make_judge
from wildcore_judge.parameters import JudgeParams
from wildcore import Answer, AnsweredProbe, Environment, Output
from wildcore.reporting.console import Reporter

output = Output(text="Paris", token_ids=(), stop_reason="end-of-sequence")
answer = Answer(text="Paris", token_ids=(), output=output)
item = AnsweredProbe(kind="reliability", question="Where?", answers=("Paris",), gold_token_ids=(), answer=answer,
                     unedited=answer)
judge = make_judge(JudgeParams(model="m", base_url=sys.argv[1], first_wait=0.0, attempts=2))
judge.prepare(Environment(Path(sys.argv[2]), 0, Reporter(quiet=False)))
print([score.model_dump_json() for score in judge.score([item])])
"""


@pytest.mark.parametrize("reaction", LEAKS.values(), ids=LEAKS)
def test_a_key_that_the_server_repeats_is_in_no_output_log_or_file(
    reaction: Reaction, server: JudgeServer, tmp_path: Path
) -> None:
    server.react = lambda request: reaction
    command = [sys.executable, "-c", SCRIPT, server.url, str(tmp_path)]
    environment = os.environ | {"OPENAI_API_KEY": KEY, "OPENAI_LOG": "debug", "PYTHONASYNCIODEBUG": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert server.requests[0]["authorization"] == f"Bearer {KEY}"
    assert "DEBUG" in done.stderr
    assert "reason" in done.stdout
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    for part in (KEY, KEY[:8], KEY[-8:], "distinctive"):
        assert part not in done.stdout + done.stderr
        assert not any(part.encode() in content for content in files)


def test_a_verdict_beside_a_key_counts_all_the_same(
    server: JudgeServer, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", f" {KEY}\n")
    server.react = lambda request: LEAKS["verdict and model"]
    metric = make_judge(JudgeParams(model="m", base_url=server.url, key_variable="OTHER_KEY"))
    metric.prepare(environment)
    (score,) = metric.score([probe("Paris")])
    assert (score.value, score.details["answered_by"]) == (1.0, "[key]")
    assert server.requests[0]["authorization"] == f"Bearer {KEY}"


def test_without_a_key_a_placeholder_is_sent_to_a_server_that_is_named(
    judge: Callable[..., Judge], server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge().score([probe("Paris")])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    judge(key_variable=None).score([probe("Rome")])
    assert [request["authorization"] for request in server.requests] == ["Bearer none"] * 2


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_without_a_key_openai_is_not_asked(
    value: str | None, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    metric = make_judge(JudgeParams(model="m"))
    with pytest.raises(UserError, match=r"there is none in the environment variable OPENAI_API_KEY; set it, or"):
        metric.prepare(environment)


@pytest.mark.parametrize("value", [KEY + "\nX-Other: 1", KEY + "é", KEY + " x", KEY + "\x00x"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"MY_KEY": value})
    with pytest.raises(
        UserError, match="environment variable MY_KEY: its value is no key: it holds characters that cannot be sent"
    ) as error:
        read_key("MY_KEY", needed=True)
    assert "distinctive" not in str(error.value)


def test_naming_no_variable_is_no_key_either(environment: Environment) -> None:
    with pytest.raises(UserError, match=r"there is none in metric\.judge\.key_variable=null; set it, or"):
        make_judge(JudgeParams(model="m", key_variable=None)).prepare(environment)


@pytest.mark.parametrize("address", ["http://me:{}@127.0.0.1/v1", "http://127.0.0.1/v1?key={}", "http://127.0.0.1/#{}"])
def test_a_key_in_an_address_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(UserError, match="it must hold no password or key") as error:
        make_judge(JudgeParams(model="m", base_url=address.format("distinctive")))
    assert "distinctive" not in str(error.value)


def test_the_key_is_in_no_parameter_and_no_representation() -> None:
    assert "distinctive" not in repr(Key(KEY))
    assert "distinctive" not in JudgeParams(model="m").model_dump_json()


@given(st.from_regex(r"\A[!-~]{8,40}\Z"), st.text(max_size=20), st.text(max_size=20))
def test_scrubbing_leaves_nothing_of_the_key(key: str, before: str, after: str) -> None:
    hidden = Key(key)
    for quoted in (key, json.dumps(key), repr(key)):
        assert key not in hidden.scrub(before + quoted + after).replace("[key]", "")
    if key not in before:
        assert Key("short").scrub(before) == before


def test_the_key_of_a_server_without_keys_garbles_nothing(
    judge: Callable[..., Judge], server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "A")
    server.react = lambda request: says("A: CORRECT")
    scores = judge().score(probes(3))
    assert {score.details["reply"] for score in scores} == {"A: CORRECT"}
    assert graded(server.requests[0])[1] == "answer 0"
