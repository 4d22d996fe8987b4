"""A judge's reply, and the judgement that follows from it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from wildcore.thoughts import split_thought
from wildcore_judge.forms import LETTERS, Letters, Verdict, read_verdict

KINDS_SHOWN = 3


class Reply(BaseModel):
    """A judge's reply to one text, and how it was asked.

    ``text`` is the reply as it was sent, with its thoughts if they are part of it. ``only_thoughts``: it is reasoning that the
    server sent instead of a reply. ``answered_by`` is the model as the server names it. ``cut_off``: the reply reached its
    maximum length. ``constraint_requested``: the server was asked to allow only a verdict, which some servers accept and
    ignore. ``temperature`` is None if the server rejects the option. ``clock`` is the time that a local judge's chat template was
    given; None: it reads none. ``letters`` is what the prompt means by letters; it is not stored.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    only_thoughts: bool = False
    answered_by: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cut_off: bool = False
    constraint_requested: bool = False
    temperature: float | None = 0.0
    clock: str | None = None
    letters: Letters = Field(default=LETTERS, exclude=True, repr=False)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict. None: the reply is not unambiguous."""
        return None if self.cut_off or self.only_thoughts else read_verdict(self.text, self.letters)


@dataclass(frozen=True)
class Judgement:
    """The judgement of one text: a reply with a verdict, or the reason why there is none.

    ``said`` is the part of the reason that quotes the judge. ``known``: it was in the store already.
    """

    reply: Reply | None = None
    why: str | None = None
    said: str = ""
    known: bool = False

    @property
    def reason(self) -> str | None:
        """Why there is no verdict. None: there is one."""
        return f"{self.why}: {self.said}" if self.why and self.said else self.why


def unscored(judgements: Iterable[Judgement]) -> str:
    """Return how many judgements are without a verdict, and why. Of reasons that only quote differently, one is shown."""
    missing = [judgement for judgement in judgements if judgement.why]
    if not missing:
        return "all are judged"
    kinds: dict[str | None, list[Judgement]] = {}
    for judgement in missing:
        kinds.setdefault(judgement.why, []).append(judgement)
    listed = [f"{len(alike)} {alike[0].reason}" for alike in list(kinds.values())[:KINDS_SHOWN]]
    further = f"; and {len(kinds) - KINDS_SHOWN} other reasons" if len(kinds) > KINDS_SHOWN else ""
    return f"{len(missing)} are not judged: {'; '.join(listed)}{further}"


def judged(reply: Reply) -> Judgement:
    """Return the judgement for a reply."""
    if reply.verdict is not None:
        return Judgement(reply)
    why = "unclear reply"
    if reply.cut_off:
        why += ": cut off at max_tokens"
    elif reply.only_thoughts:
        why += ": thoughts without a reply"
    after_thoughts = split_thought(reply.text).reply.strip()
    return Judgement(reply, why, quoted(after_thoughts or reply.text.strip(), 80))


def quoted(text: str, length: int) -> str:
    """Return the first ``length`` characters of a text in quotation marks, with control characters escaped."""
    return repr(text[:length]) + "..." * (len(text) > length)
