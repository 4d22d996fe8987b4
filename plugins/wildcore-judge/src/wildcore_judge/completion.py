"""Reads the body of a server's reply: a chat completion, in the shapes that servers give it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from wildcore.thoughts import split_thought
from wildcore_judge.failures import Passing, Unreadable
from wildcore_judge.verdict import quoted

EXCERPT = 200
LONGEST_NAME = 200
SURROGATES = re.compile("[\ud800-\udfff]")
CUT_OFF = ("length", "max_tokens", "max_output_tokens", "model_length")
"""Reasons to end a reply that mean its maximum length, as servers name them."""
REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields beside ``content`` in which servers put thoughts, and some put the reply by mistake."""
PLACES_OF_TEXT = ("text", "value", "thinking", "reasoning", "summary", "content", "refusal")
LONGEST_BARE_REPLY = 20
LONGEST_NUMBER = 20


@dataclass(frozen=True)
class Completion:
    """What a server replied. ``only_thoughts``: there is no reply, and ``text`` is the reasoning sent instead.

    ``input_tokens`` and ``output_tokens`` are as the server gave them, of any type; None: not given.
    """

    text: str
    only_thoughts: bool
    model: str | None
    cut_off: bool
    ended: bool
    input_tokens: Any
    output_tokens: Any


def read_completion(body: bytes, clean: Callable[[str], str]) -> Completion:
    """Read a reply's body; every text in it goes through ``clean``.

    Raises ``Unreadable`` if it is no chat completion, and ``Passing`` if it is an error of the server.
    """
    try:
        return _completion(_parsed(body, clean), body, clean)
    except RecursionError:
        raise _unreadable(body, clean, "nested too deeply") from None


def _completion(content: Any, body: bytes, clean: Callable[[str], str]) -> Completion:
    choices = content.get("choices") if isinstance(content, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(content, dict) or not isinstance(choice, dict):
        if isinstance(content, dict) and (error := content.get("error")):
            raise Passing(f"it reports an error: {quoted(clean(_plain(error)), EXCERPT)}")
        raise _unreadable(body, clean)
    message = choice.get("message")
    text, only_thoughts = _reply(message) if isinstance(message, dict) else (choice.get("text"), False)
    if not isinstance(text, str):
        raise _unreadable(body, clean)
    usage = content.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    model, finish = content.get("model"), choice.get("finish_reason")
    return Completion(
        text=clean(without_surrogates(text)),
        only_thoughts=only_thoughts,
        model=clean(without_surrogates(model))[:LONGEST_NAME] if isinstance(model, str) else None,
        cut_off=isinstance(finish, str) and finish.lower() in CUT_OFF,
        ended=isinstance(finish, str) and finish.lower() == "stop",
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )


def _parsed(body: bytes, clean: Callable[[str], str]) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), parse_int=_number)
    except ValueError:
        raise _unreadable(body, clean) from None


def _number(digits: str) -> int | float:
    """Return a whole number; a huge one as infinity, because converting it would take long."""
    return int(digits) if len(digits) <= LONGEST_NUMBER else float("inf")


def _unreadable(body: bytes, clean: Callable[[str], str], problem: str = "") -> Unreadable:
    if not body.strip():
        return Unreadable("", "it is empty")
    said = " ".join(clean(body.decode("utf-8", "replace")).split())
    return Unreadable(quoted(said, EXCERPT), problem)


def _reply(message: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the text of a message, and whether it is reasoning without a reply. None: its content has an unknown form."""
    reply = _joined(message.get("content"), thoughts=False)
    if reply is None or reply.strip():
        return reply, False
    reply = _joined(message.get("refusal"), thoughts=False)
    if reply and reply.strip():
        return reply, False
    fields = [_joined(message.get("content"), thoughts=True), *(_joined(message.get(name), None) for name in REASONING)]
    reasoning = next((text for text in fields if text and text.strip()), "")
    return reasoning, bool(reasoning) and not _holds_a_reply(reasoning)


def _holds_a_reply(reasoning: str) -> bool:
    """Return whether a reasoning field also holds the reply: after the end of a thought, or instead of any thought."""
    said = reasoning.strip()
    parts = split_thought(said)
    return bool(parts.thought and parts.reply) or len(said) <= LONGEST_BARE_REPLY or said.startswith(("{", "```"))


def _joined(content: Any, thoughts: bool | None) -> str | None:
    """Return the text of a content that may consist of parts: its thoughts, the other parts, or (None) all.

    None: it has parts, and all are of an unknown kind.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return "" if thoughts else content
    parts = content if isinstance(content, list) else [content]
    found = [(_is_thought(part), text) for part in parts if (text := "\n".join(_texts(part)))]
    if parts and not found:
        return None
    return "\n".join(text for is_thought, text in found if thoughts in (None, is_thought))


def _is_thought(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    kind = str(part.get("type", "")).lower()
    return "think" in kind or "reason" in kind or part.get("thought") is True


def _texts(part: Any) -> Iterator[str]:
    """Yield the texts of one part. A part of no type with a verdict in it is itself the reply, sent as an object."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for inner in part:
            yield from _texts(inner)
    elif isinstance(part, dict):
        for name in PLACES_OF_TEXT:
            yield from _texts(part.get(name))
        if "type" not in part and {"verdict", "grade", "correct"} & part.keys():
            yield json.dumps(part)


def _plain(error: Any) -> str:
    """Return the message of a server's error."""
    said = error.get("message", error) if isinstance(error, dict) else error
    return " ".join((said if isinstance(said, str) else json.dumps(said)).split())


def without_surrogates(text: str) -> str:
    """Return a text that can be written as UTF-8: half of a character becomes a replacement character."""
    return SURROGATES.sub("\ufffd", text)
