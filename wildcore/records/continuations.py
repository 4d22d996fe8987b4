"""Continuations: what an edited model says after the answer that is scored.

A protocol that cuts an answer at a stop rule does not see whether the model continues ("Lyon. Manila. Manila."). So the answer
is generated once more, with the rule delayed by some characters. The scored answer does not change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, cast

from wildcore.interfaces import Truncator
from wildcore.protocols import ReadyProtocol
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.types import Answer, FrozenData, Gold, Output

After = Literal["went on", "ended", "unknown"]


class Continuation(FrozenData):
    """What followed the correct answers to edit prompts under a protocol; correct are those that its first ``metric`` scores
    1.

    ``went_on`` counts answers after which a letter or a digit was observed, ``ended`` those after which the model ended the
    sequence, ``unknown`` those after which nothing was observed. ``example`` is the whole text of the first that went on.
    """

    protocol: str
    metric: str
    held: int
    went_on: int
    ended: int
    unknown: int
    example: str | None


class PutOff:
    """A truncator's rule, delayed: an answer is complete once ``characters`` follow the end that the rule gives it."""

    def __init__(self, rule: Truncator, characters: int) -> None:
        self.rule, self.characters = rule, characters
        self.reads_gold = rule.reads_gold

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether enough text follows the answer."""
        if not self.rule.is_complete(text, token_count, gold):
            return False
        cut = self.rule.truncate(Output(text=text, token_ids=(), stop_reason="stop-rule"), gold)
        return len(rest(text, cut.text)) >= self.characters

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Return the whole output."""
        return Answer(text=output.text, token_ids=output.token_ids, output=output)


def put_off(protocol: ReadyProtocol, characters: int) -> ReadyProtocol:
    """Return ``protocol`` with its stop rule delayed."""
    truncator = cast(Truncator, PutOff(protocol.truncator, characters))  # the rule decides whether it reads the gold
    return replace(protocol, truncator=truncator)


def was_cut(answers: Sequence[Answer]) -> bool:
    """Return whether there is exactly one answer and the stop rule ended its generation, so that what follows was not
    observed.
    """
    return len(answers) == 1 and answers[0].output.stop_reason == "stop-rule"


def same_beginning(answers: Sequence[Answer], longer: Sequence[Answer]) -> Output | None:
    """Return the output of the one answer in ``longer`` if it begins with the tokens of the one in ``answers``.

    None: the model generated something else this time. The last digits depend on the shape of the batch.
    """
    (answer,) = answers
    known = answer.output.token_ids
    return next((one.output for one in longer if one.output.token_ids[: len(known)] == known), None)


def rest(text: str, answer: str) -> str:
    """Return the part of ``text`` after ``answer``, which must occur in it."""
    return text[max(0, text.find(answer)) + len(answer) :]


def reply_in(output: Output, answer: Answer) -> str:
    """Return the text of ``output`` without the thought that was removed from ``answer``, which begins alike."""
    return output.text[len(answer.thought.text) :] if answer.thought else output.text


def after_the_answer(probe: ProbeRecord) -> tuple[After, str]:
    """Return what followed the edited model's answer to ``probe``, and its text."""
    if len(probe.after) != 1:
        return "unknown", ""
    output = probe.continued or probe.after[0].output
    more = rest(reply_in(output, probe.after[0]), probe.after[0].text)
    if any(character.isalnum() for character in more):
        return "went on", more
    return ("ended" if output.stop_reason == "end-of-sequence" else "unknown"), more


def continuations(cases: Iterable[CaseRecord], scores: Iterable[ScoreRecord]) -> list[Continuation]:
    """Return for each protocol what followed its correct answers, in the order of the scores; protocols without any are left
    out.
    """
    metrics: dict[str, str] = {}
    holds: set[tuple[str, str, int]] = set()
    for score in scores:
        of_edit = score.kind == "reliability"
        if of_edit and metrics.setdefault(score.protocol, score.metric) == score.metric and score.after == 1:
            holds.add((score.case, score.protocol, score.probe))
    found: dict[str, list[tuple[After, str]]] = {protocol: [] for protocol in metrics}
    for case in cases:
        for probe in case.probes:
            if (case.case, probe.protocol, probe.probe) in holds:
                after, _ = after_the_answer(probe)
                text = reply_in(probe.continued or probe.after[0].output, probe.after[0]) if probe.after else ""
                found[probe.protocol].append((after, text.strip()))
    return [_counted(protocol, metrics[protocol], seen) for protocol, seen in found.items() if seen]


def _counted(protocol: str, metric: str, seen: Sequence[tuple[After, str]]) -> Continuation:
    counts = {after: sum(one == after for one, _ in seen) for after in ("went on", "ended", "unknown")}
    return Continuation(
        protocol=protocol,
        metric=metric,
        held=len(seen),
        went_on=counts["went on"],
        ended=counts["ended"],
        unknown=counts["unknown"],
        example=next((text for after, text in seen if after == "went on"), None),
    )
