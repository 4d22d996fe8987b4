"""A judge's reply, and the verdict in it."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["CORRECT", "INCORRECT"]

THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)(?:\n```)?\Z", re.DOTALL)
MARKS = re.compile("[*_`'\"“”]")
FORMS = re.compile(
    r"(?:(?:FINAL )?(?:VERDICT|GRADE|ANSWER):\s*)?"
    r"(?:\(?([AB])\)?|(?:\(?([AB])[\s:.)=-]+)?\(?(INCORRECT|CORRECT)\)?)[.!]?"
)
MEANING: dict[str, Verdict] = {"A": "CORRECT", "B": "INCORRECT", "CORRECT": "CORRECT", "INCORRECT": "INCORRECT"}


class Reply(BaseModel):
    """A judge's reply to one text, and how it was asked.

    ``answered_by`` is the model as the server names it. ``cut_off``: the reply reached its maximum length.
    ``constraint_requested``: the server was asked to allow only a verdict, which some servers accept and ignore.
    ``temperature`` is None if the server rejects the option.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    answered_by: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cut_off: bool = False
    constraint_requested: bool = False
    temperature: float | None = 0.0

    @property
    def verdict(self) -> Verdict | None:
        """The verdict. None: the reply is not unambiguous."""
        return None if self.cut_off else read_verdict(self.text)


@dataclass(frozen=True)
class Judgement:
    """The judgement of one text: a reply with a verdict, or the reason why there is none. ``known``: it was in the store
    already.
    """

    reply: Reply | None = None
    reason: str | None = None
    known: bool = False


def unscored(judgements: Iterable[Judgement]) -> str:
    """Return how many judgements are without a verdict, and why."""
    reasons = [judgement.reason for judgement in judgements if judgement.reason]
    if not reasons:
        return "all are judged"
    listed = [f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons)]
    further = f"; and {len(listed) - 3} other reasons" if len(listed) > 3 else ""
    return f"{len(reasons)} are not judged: {'; '.join(listed[:3])}{further}"


def judged(reply: Reply) -> Judgement:
    """Return the judgement for a reply."""
    if reply.verdict is not None:
        return Judgement(reply)
    cut = "cut off at max_tokens: " if reply.cut_off else ""
    return Judgement(reply, f"unclear reply: {cut}{reply.text.strip()!r:.80}")


def read_verdict(text: str) -> Verdict | None:
    """Return the verdict if ``text`` consists of a verdict only, in any form. None: it says anything else.

    A thinking model's thoughts before its reply are ignored. "A" is CORRECT and "B" INCORRECT, as in published prompts.
    """
    bare = THOUGHTS.sub("", text).strip()
    fenced = FENCE.match(bare)
    bare = fenced.group(1).strip() if fenced else bare
    found = FORMS.fullmatch(MARKS.sub("", _of_object(bare) if bare.startswith("{") else bare).strip().upper())
    said = {MEANING[part] for part in found.groups() if part} if found else set()
    return said.pop() if len(said) == 1 else None


def _of_object(text: str) -> str:
    """Return the verdict of a JSON object; empty if it has none, or several."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError:
        return ""
    verdicts = [value for name, value in pairs if name == "verdict"]
    return verdicts[0] if len(verdicts) == 1 and isinstance(verdicts[0], str) else ""
