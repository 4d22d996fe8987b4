"""The server's key goes to the server and nowhere else."""

import html
import json
import os
import subprocess
import sys
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

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
    "redirect": Reaction("", 307, {"Location": f"/{KEY}", "X-Key": KEY}),
    "halves": fails(500, f"{KEY[: len(KEY) // 2]}, {KEY[len(KEY) // 2 :]}"),
    "spaced": says(f"Your key is {' '.join(KEY)}"),
    "in lines": fails(500, "\n".join(KEY[at : at + 4] for at in range(0, len(KEY), 4))),
    "capital letters": says(f"{KEY.upper()} is your key"),
    "a page": Reaction(f"<html>{KEY}</html>", content_type="text/html"),
}
ESCAPED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "slashes": lambda key: key.replace("/", "\\/"),
    "Unicode escapes": lambda key: "".join(f"\\u{ord(char):04X}" for char in key),
    "one Unicode escape": lambda key: key.replace("+", "\\u002B").replace("=", "\\u003d"),
    "braces": lambda key: key.replace("+", "\\u{2b}"),
    "bytes": lambda key: "".join(f"\\x{ord(char):02x}" for char in key),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key.replace("/", "\\/")))[2:-2],
    "HTML": lambda key: html.escape(key).replace("/", "&#x2F;").replace("+", "&#43;").replace("=", "&equals;"),
    "HTML, all of it": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "HTML twice": lambda key: key.replace("/", "&amp;#47;").replace("+", "&amp;plus;"),
    "percent": lambda key: quote(key, safe=""),
    "percent in small letters": lambda key: quote(key, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
    "percent twice": lambda key: quote(quote(key, safe=""), safe=""),
    "percent, all of it": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "percent in HTML": lambda key: quote(key, safe="").replace("%", "&percnt;"),
    "base64": lambda key: b64encode(key.encode()).decode(),
    "base64 of a header": lambda key: b64encode(f"Authorization: Bearer {key}\r\n".encode()).decode(),
    "base64 of a name and a key": lambda key: urlsafe_b64encode(f"u:{key}".encode()).decode().rstrip("="),
    "base64 in lines": lambda key: "\n".join(
        b64encode(f"{key * 3}".encode()).decode()[at : at + 20] for at in range(0, 160, 20)
    ),
    "base64 escaped": lambda key: quote(b64encode(f"?>~{key}?>~".encode()).decode(), safe=""),
    "base64 twice": lambda key: b64encode(b64encode(key.encode())).decode(),
    "hexadecimal": lambda key: "a" + key.encode().hex(),
    "first half": lambda key: key[: len(key) // 2],
    "last half": lambda key: key[len(key) // 2 :],
    "capital letters": str.upper,
    "small letters": str.lower,
    "spaces": " ".join,
    "lines": lambda key: "\r\n".join(key[at : at + 3] for at in range(0, len(key), 3)),
    "lines in JSON": lambda key: json.dumps("\n".join(key))[1:-1],
    "no width": "\u200b".join,
    "half in HTML": lambda key: "".join(f"&#{ord(char)};" for char in key[:12]),
    "half in base64": lambda key: b64encode(key[-14:].upper().encode()).decode(),
    "half in hexadecimal": lambda key: key[5:18].encode().hex().upper(),
}
"""Ways in which a server may quote the key."""
PLACES: dict[str, Callable[[str], Reaction]] = {
    "reply": lambda quoted: says(f"{quoted} is your key"),
    "verdict": lambda quoted: says(f"{quoted}\n\nCORRECT"),
    "thought": lambda quoted: says(f"<think>{quoted}</think>CORRECT"),
    "model": lambda quoted: Reaction(str(says("A").body).replace("judge-2026-01-01", json.dumps(quoted)[1:-1])),
    "raw body": lambda quoted: Reaction(str(says("A XXX").body).replace("XXX", quoted)),
    "no completion": lambda quoted: Reaction(f"{{'key': '{quoted}'}}"),
    "reported error": lambda quoted: Reaction(json.dumps({"error": {"message": f"bad key {quoted}"}})),
    "500": lambda quoted: fails(500, quoted),
    "redirect": lambda quoted: Reaction("", 307, {"Location": "/" + quoted.replace("\n", "")}),
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
    shown = [done.stdout + done.stderr, *(content.decode("utf-8", "replace") for content in files)]
    legible = ["".join(text.replace("\\n", "").lower().split()) for text in shown]
    for part in (KEY, KEY[:8], KEY[-8:], "distinctive"):
        assert not any(part in text for text in shown)
        assert not any(part in text for text in legible)


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


@pytest.mark.parametrize("escape", ESCAPED.values(), ids=ESCAPED)
def test_the_key_is_found_in_every_form(escape: Callable[[str], str]) -> None:
    quoted = escape(KEY)
    for text in (
        quoted,
        f"<p>{quoted}</p>",
        json.dumps({"key": quoted}),
        f"Bearer {quoted}, {quoted}",
        f"\u00e9%{quoted}",
    ):
        found = Key(KEY).scrub(text)
        assert "[key]" in found
        assert not holds(found, quoted)


@pytest.mark.parametrize("name", ["slashes", "one Unicode escape", "HTML", "percent in HTML", "base64 of a header"])
def test_a_key_that_the_server_quotes_in_another_form_is_in_no_score_note_or_file(
    name: str,
    server: JudgeServer,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    quoted = ESCAPED[name](KEY)
    shown = ""
    for where, place in PLACES.items():
        server.react = lambda request, place=place: place(quoted)  # type: ignore[misc]
        params = {"model": where, "base_url": server.url, "first_wait": 0.0, "attempts": 2, "timeout": 10.0}
        metric = make_judge(JudgeParams.model_validate(params))
        metric.prepare(environment)
        (score,) = metric.score([probe("Paris")])
        if name != "percent in HTML":  # then nothing of the text is left
            assert score.value == (1.0 if where in ("verdict", "thought", "model") else None), where
        shown += score.model_dump_json() + repr(score)
    shown += repr(environment.progress.notes)  # type: ignore[attr-defined]
    files = b"".join(file.read_bytes() for file in environment.cache.rglob("*") if file.is_file())
    assert b"SQLite" in files
    for text in (shown, files.decode("utf-8", "replace")):
        assert not holds(text, quoted)


def holds(text: str, quoted: str) -> bool:
    """Return whether a text holds the key, also as it was quoted and then written as JSON."""
    forms = {KEY, quoted, json.dumps(quoted)[1:-1], json.dumps(json.dumps(quoted)[1:-1])[1:-1], repr(quoted)[1:-1]}
    return any(form in text for form in forms)


@pytest.mark.parametrize(
    "text", ["%", "&", "\\", "&amp;", "%25", "A+/" * 400_000, "ab" * 500_000, "&#43;%2B\\u002b" * 80_000]
)
def test_scrubbing_ends_soon(text: str) -> None:
    long = text * (1_200_000 // len(text))
    start = time.monotonic()
    assert Key(KEY).scrub(long) == long
    assert time.monotonic() - start < 10


@given(st.integers(0, len(KEY)), st.integers(0, len(KEY)), st.booleans(), st.sampled_from(["", " ", "\n", "\u200b"]))
def test_a_part_is_hidden_from_twelve_characters(one: int, other: int, capital: bool, between: str) -> None:
    part = KEY[min(one, other) : max(one, other)]
    text = "The words: " + between.join(part.upper() if capital else part) + "; more words."
    hidden = Key(KEY).scrub(text)
    assert hidden == ("The words: [key]; more words." if len(part) >= 12 else text)


def test_scrubbing_changes_nothing_else() -> None:
    text = "50 % of a&b, \\boxed{A}, \\n, %41, &amp;lt;, aGVsbG8gd29ybGQhIQ==, 68656c6c6f20776f726c6421"
    assert Key(KEY).scrub(f"{text}{KEY}{text}") == f"{text}[key]{text}"


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
