"""What is read as the reply of a model on a server, and what is not."""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.completion import read_completion
from wildcore_judge.failures import Passing, Unreadable
from wildcore_judge.metric import Judge
from wildcore_judge.verdict import Reply

from .judge_server import JudgeServer, Reaction, probe, sends

MakeJudge = Callable[..., Judge]
THOUGHT = "The answer may be INCORRECT, since {x}. But the gold is the same town."
REPLIES: dict[str, dict[str, Any]] = {
    "plain": {"content": "CORRECT"},
    "thought with both ends": {"content": f"<think>\n{THOUGHT}\n</think>\n\nCORRECT"},
    "thought with its end only": {"content": f"{THOUGHT}\n</think>\n\nCORRECT"},
    "thought with its end only, then JSON": {"content": f'{THOUGHT}\n</think>\n\n{{"verdict": "CORRECT"}}'},
    "thinking tag": {"content": f"<thinking>{THOUGHT}</thinking>\nCORRECT"},
    "square brackets": {"content": f"[THINK]{THOUGHT}[/THINK]CORRECT"},
    "harmony": {
        "content": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>CORRECT"
    },
    "answer tags behind a thought": {"content": f"<think>{THOUGHT}</think><answer>CORRECT</answer>"},
    "two thoughts": {"content": f"<think>B</think>INCORRECT<think>{THOUGHT}</think>CORRECT"},
    "reasoning_content beside": {"content": "CORRECT", "reasoning_content": "INCORRECT"},
    "reasoning beside": {"content": "CORRECT", "reasoning": "INCORRECT", "reasoning_details": [{"text": "INCORRECT"}]},
    "reasoning_content instead, with the end of a thought": {
        "content": None,
        "reasoning_content": f"{THOUGHT}\n</think>\n\nCORRECT",
    },
    "reasoning instead, a verdict alone": {"content": "", "reasoning": '{"verdict": "CORRECT"}'},
    "reasoning instead, a word alone": {"reasoning_content": "\nCORRECT\n"},
    "text part": {"content": [{"type": "text", "text": "CORRECT"}]},
    "thinking part and text part": {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "INCORRECT"}]},
            {"type": "text", "text": "CORRECT"},
        ]
    },
    "reasoning part and output part": {
        "content": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "INCORRECT"}]},
            {"type": "output_text", "text": "CORRECT", "annotations": []},
        ]
    },
    "unknown part and text part": {"content": [{"type": "audio", "id": 1}, {"type": "text", "text": "CORRECT"}]},
    "parts without a type": {"content": [{"text": "INCORRECT", "thought": True}, {"text": "CORRECT"}]},
    "reasoning in parts, then the verdict": {
        "content": [{"type": "text", "text": THOUGHT}, {"type": "text", "text": "A"}]
    },
    "part with a value": {"content": [{"type": "text", "text": {"value": "CORRECT"}}]},
    "strings as parts": {"content": [THOUGHT, "CORRECT"]},
    "one part without a list": {"content": {"type": "text", "text": "CORRECT"}},
    "verdict as an object": {"content": {"verdict": "CORRECT"}},
    "thought in a text part": {"content": [{"type": "text", "text": f"{THOUGHT}</think>CORRECT"}]},
    "reasoning before the verdict": {"content": f"{THOUGHT}\n\nGRADE: C"},
    "reasoning before a marked verdict": {"content": f"{THOUGHT}\n\nFinal answer: **CORRECT**"},
    "reasoning before a letter": {"content": f"{THOUGHT}\n\nA"},
    "reasoning before a box": {"content": f"{THOUGHT}\n\n\\boxed{{A}}"},
}
NO_VERDICTS: dict[str, tuple[dict[str, Any], str]] = {
    "no content": ({"content": None}, "unclear reply: ''"),
    "no field at all": ({}, "unclear reply: ''"),
    "a thought without an end": ({"content": "<think>CORRECT"}, "unclear reply: '<think>CORRECT'"),
    "thoughts in a field": (
        {"reasoning": f"{THOUGHT}\nCORRECT"},
        "unclear reply: thoughts without a reply: 'The answer",
    ),
    "thoughts in a part": (
        {"content": [{"type": "thinking", "thinking": f"{THOUGHT} CORRECT"}]},
        "unclear reply: thoughts without a reply: 'The answer",
    ),
    "a refusal": ({"content": None, "refusal": "I cannot grade this."}, "unclear reply: 'I cannot grade this.'"),
    "a contradiction": ({"content": f"GRADE: I\n{THOUGHT}\nGRADE: C"}, "unclear reply: 'GRADE: I"),
    "an unlabelled letter": ({"content": "C"}, "unclear reply: 'C'"),
    "half a character": ({"content": "\ud83d?"}, "unclear reply: '\ufffd?'"),
    "an unknown part": ({"content": [{"type": "image", "url": "x"}]}, "the judge's server replies, but in a form"),
    "a number": ({"content": 1}, "the judge's server replies, but in a form"),
}


@pytest.mark.parametrize("message", REPLIES.values(), ids=REPLIES)
def test_the_verdict_of_a_reply(message: dict[str, Any], judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: sends(message)
    (score,) = judge().score([probe("Paris")])
    assert (score.value, score.reason, len(server.requests)) == (1.0, None, 1)


@pytest.mark.parametrize(("message", "reason"), NO_VERDICTS.values(), ids=NO_VERDICTS)
def test_a_reply_without_a_verdict(message: dict[str, Any], reason: str, judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: sends(message)
    (score,) = judge().score([probe("Paris")])
    assert score.value is None
    assert (score.reason or "").startswith(reason)
    assert len(server.requests) == 1 + ("form" in reason)


BODY = sends({"content": "CORRECT"}).body.encode()  # type: ignore[union-attr]
READ = {
    "gzip": Reaction(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}),
    "deflate": Reaction(zlib.compress(BODY), headers={"Content-Encoding": "deflate"}),
    "a mark of the byte order": Reaction(b"\xef\xbb\xbf" + BODY),
    "white space around": Reaction(b"\r\n " + BODY + b"\n\n"),
    "not UTF-8 elsewhere": Reaction(BODY.replace(b"judge-2026", b"judge-\xff")),
    "a character set of bytes": Reaction(BODY, content_type="application/json; charset=zlib_codec"),
    "the text of a completion": Reaction('{"choices": [{"text": "CORRECT", "finish_reason": "stop"}]}'),
}


@pytest.mark.parametrize("reaction", READ.values(), ids=READ)
def test_the_form_of_a_body_makes_no_difference(reaction: Reaction, judge: MakeJudge, server: JudgeServer) -> None:
    server.react = lambda request: reaction
    (score,) = judge().score([probe("Paris")])
    assert (score.value, score.reason) == (1.0, None)


NAMES = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "type",
        "text",
        "thinking",
        "error",
        "usage",
        "prompt_tokens",
        "reasoning",
        "model",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9) | NAMES, inner, max_size=4),
    max_leaves=9,
)


@given(st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": JSON}) | JSON)}) | JSON)
def test_any_body_is_read_or_refused(body: Any) -> None:
    try:
        completion = read_completion(json.dumps(body).encode("utf-8", "surrogatepass"), str)
    except (Unreadable, Passing):
        return
    reply = Reply(text=completion.text, answered_by=completion.model, only_thoughts=completion.only_thoughts)
    assert Reply.model_validate_json(reply.model_dump_json().encode()) == reply


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_completion(body, str)


SUPPORT = Path(__file__).parents[3] / "docs" / "support.md"
HELD = re.compile(r"`(test_\w+)(?:\[([^`]*)\])?`")


@pytest.mark.skipif(not SUPPORT.exists(), reason="the plugin is tested outside the repository")
def test_every_row_of_the_table_of_support_names_tests_that_exist() -> None:
    section = SUPPORT.read_text(encoding="utf-8").partition("## Judges' replies\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    tests = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    assert len(rows) > 20
    for row in rows:
        held = HELD.findall(row)
        assert held, row
        for name, case in held:
            assert f"def {name}(" in tests, row
            assert not case or case in REPLIES or case in NO_VERDICTS, row
