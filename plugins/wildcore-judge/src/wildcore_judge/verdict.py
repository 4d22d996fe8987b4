"""What a judge replied, and the verdict in it."""

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
    """What a judge said in answer to one text, and how it was asked.

    ``answered_by`` is the model as the server names it; ``cut_off`` says that the reply ran into its longest length;
    ``constraint_requested`` says that the server was to allow nothing but a verdict, which some take and ignore;
    ``temperature`` is None where the server takes none.
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
        """The verdict, or None where the reply does not give one beyond doubt."""
        return None if self.cut_off else read_verdict(self.text)


@dataclass(frozen=True)
class Judgement:
    """What became of one text: a reply with a verdict, or why there is no verdict. ``known`` ones were not asked for."""

    reply: Reply | None = None
    reason: str | None = None
    known: bool = False


def unscored(judgements: Iterable[Judgement]) -> str:
    """Say how many judgements are without a verdict, and why."""
    reasons = [judgement.reason for judgement in judgements if judgement.reason]
    if not reasons:
        return "all are judged"
    listed = [f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons)]
    further = f"; and {len(listed) - 3} other reasons" if len(listed) > 3 else ""
    return f"{len(reasons)} are not judged: {'; '.join(listed[:3])}{further}"


def judged(reply: Reply) -> Judgement:
    """Return the judgement that a reply is."""
    if reply.verdict is not None:
        return Judgement(reply)
    cut = "cut off at max_tokens: " if reply.cut_off else ""
    return Judgement(reply, f"unclear reply: {cut}{reply.text.strip()!r:.80}")


def read_verdict(text: str) -> Verdict | None:
    """Return the verdict that is all that ``text`` says, whatever its dress; None if it says anything else besides.

    A thinking model's thoughts in front are not its reply. "A" is CORRECT and "B" INCORRECT, as published prompts have it.
    """
    bare = THOUGHTS.sub("", text).strip()
    fenced = FENCE.match(bare)
    bare = fenced.group(1).strip() if fenced else bare
    found = FORMS.fullmatch(MARKS.sub("", _of_object(bare) if bare.startswith("{") else bare).strip().upper())
    said = {MEANING[part] for part in found.groups() if part} if found else set()
    return said.pop() if len(said) == 1 else None


def _of_object(text: str) -> str:
    """Return what a JSON object gives as its verdict; nothing if it gives none, or several."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError:
        return ""
    verdicts = [value for name, value in pairs if name == "verdict"]
    return verdicts[0] if len(verdicts) == 1 and isinstance(verdicts[0], str) else ""
