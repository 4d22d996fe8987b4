"""Thoughts: what a model that reasons writes before its reply, by the markers that such models use."""

import re
from dataclasses import dataclass

TAGS = r"(?:\w+[:_])?think(?:ing)?|thoughts?|reason(?:ing)?"
BEGIN = re.compile(
    rf"(?i:<(?:{TAGS})>)"  # DeepSeek-R1, Qwen3, SmolLM3, EXAONE-Deep; Seed-OSS writes <seed:think>
    r"|\[THINK\]"  # Magistral
    r"|◁think▷"  # Kimi-VL
    r"|<\|begin_of_thought\|>"  # Sky-T1, OpenThinker
    r"|<\|START_THINKING\|>"  # Command A Reasoning
    r"|<\|inner_prefix\|>"  # Apertus
    r"|<\|channel>thought"  # Gemma 4
    r"|<\|channel\|>(?!final)"  # gpt-oss: every channel of the harmony format except the last
)
END = re.compile(
    rf"(?i:</(?:{TAGS})>)"
    r"|\[/THINK\]"
    r"|◁/think▷"
    r"|<\|end_of_thought\|>"
    r"|<\|END_THINKING\|>"
    r"|<\|inner_suffix\|>"
    r"|<channel\|>"
    r"|<\|channel\|>final(?:\s*<\|constrain\|>\s*\w+)?\s*<\|message\|>"
)
HARMONY_WITHOUT_MARKERS = re.compile(r"\s*analysis\S.*assistant\s*final", re.DOTALL)
"""The harmony format after its special tokens have been dropped."""
SPOKEN = re.compile(r"\s*Here(?: i|')s my thought process:.*?Here(?: i|')s my response:", re.DOTALL)
"""Granite 3.2 marks its thought in words."""
AROUND_REPLIES = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
)
"""What some models write around the reply after a thought."""
MARKER_TOKENS = frozenset(
    {
        "<think>", "</think>", "<seed:think>", "</seed:think>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷",
        "<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>",
        "<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>",
        "<|inner_prefix|>", "<|inner_suffix|>", "<|channel>", "<channel|>", "<|channel|>", "<|message|>",
    }
)  # fmt: skip
"""Markers that are a token of their own, and in some tokenizers a special one, which decoding leaves out by default."""


@dataclass(frozen=True)
class SplitText:
    """A text that a model wrote, split into its thought and the reply after it.

    ``thought`` is everything before the reply, with the markers and the white space around them; empty if the text has no
    thought. ``ended`` is false for a thought without an end; the reply is then empty. The text begins with
    ``thought + reply``, and is longer only if it goes on after the end of a marked reply.
    """

    thought: str
    reply: str
    ended: bool = True


def split_thought(text: str, begun: bool = False) -> SplitText:
    """Return the thought and the reply of ``text``; the reply is what follows the last end of a thought.

    With ``begun`` the thought began before the text, as when a chat template writes the opening marker.
    """
    start = _end_of_last_thought(text)
    if _begins(text, start) or (begun and not start):
        return SplitText(thought=text, reply="", ended=False)
    if not start:
        return SplitText(thought="", reply=text)
    start = _after_white_space(text, start)
    stop = len(text)
    for opening, closing in AROUND_REPLIES:
        if text.startswith(opening, start):
            start = _after_white_space(text, start + len(opening))
            found = text.find(closing, start)
            stop = found if found >= 0 else stop
    return SplitText(thought=text[:start], reply=text[start:stop])


def begins_thought(prompt: str) -> bool:
    """Return whether a prompt ends with the beginning of a thought, so that what the model writes continues the thought."""
    return any(found.end() == len(prompt.rstrip()) for found in BEGIN.finditer(prompt))


def _end_of_last_thought(text: str) -> int:
    """Return the place after the last marker that ends a thought. 0: there is none."""
    places = [found.end() for found in END.finditer(text)]
    for whole in (HARMONY_WITHOUT_MARKERS, SPOKEN):
        found = whole.match(text)
        places += [found.end()] if found else []
    return max(places, default=0)


def _begins(text: str, start: int) -> bool:
    return BEGIN.match(text, _after_white_space(text, start)) is not None


def _after_white_space(text: str, start: int) -> int:
    return len(text) - len(text[start:].lstrip())
