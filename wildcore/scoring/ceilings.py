"""Ceilings: the highest score that a model can reach, given which correct answers a protocol's stop rule and metric accept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from wildcore.datasets.checks import EXAMPLES_KEPT, Example
from wildcore.interfaces import Metric
from wildcore.protocols import ReadyProtocol
from wildcore.scripts import own_stop
from wildcore.types import Answer, EditCase, FrozenData, Output, Probe

CLOSINGS = ("", ".", "\n")
"""How a perfect model may end its answer: by ending the sequence, with a full stop, with a line break."""


class Ceiling(FrozenData):
    """The share of the cases that a perfect model gets right under a protocol.

    ``by_construction``: the truncator reads the gold, so every case is reachable and none was tried. ``unscored``: cases the
    metric could not score, for example because it needs token ids, which these answers lack; ``reason`` is that of the first.
    ``ceiling`` is None if no case was scored. ``not_ended`` counts the cases whose script closes a sentence with a mark that
    does not end an answer under the protocol, so that a right answer counts only if the model ends the sequence behind it.
    """

    protocol: str
    metric: str
    ceiling: float | None
    by_construction: bool
    unreachable: int
    unscored: int
    reason: str | None
    examples: tuple[Example, ...]
    not_ended: int = 0
    not_ended_examples: tuple[Example, ...] = ()


@dataclass
class Oracle:
    """A model that knows every answer, asked under one protocol.

    It gives an accepted answer and closes it in one of the ways of ``CLOSINGS``; the metric scores what the truncator leaves
    of it. A target is unreachable if no such answer scores 1. Only the truncator and the metric are used: no model is needed.
    """

    protocol: ReadyProtocol
    label: str
    metric: Metric
    reachable: int = 0
    unreachable: int = 0
    unscored: int = 0
    reason: str | None = None
    examples: list[Example] = field(default_factory=list)
    not_ended: int = 0
    not_ended_examples: list[Example] = field(default_factory=list)

    def take(self, case: EditCase) -> None:
        """Answer one more case's edit prompts. The case is reached if all of them are."""
        if self.protocol.truncator.reads_gold:
            return
        probes = [probe for probe in case.probes if probe.kind == "reliability"]
        bests = [self._best(probe) for probe in probes]
        missed = [probe for probe, best in zip(probes, bests, strict=True) if best is not None and best < 1]
        if not bests or None in bests:
            self.unscored += 1
            self.reason = self.reason or "it has no reliability probe"
        elif missed:
            self._miss(case, missed[0])
        else:
            self.reachable += 1
            self._try_to_go_on(case, probes)

    def _try_to_go_on(self, case: EditCase, probes: Sequence[Probe]) -> None:
        """Close a right answer with the full stop of the prompt's script, and continue."""
        for probe in probes:
            stop = own_stop(probe.prompt)
            if stop in ("", ".") or any(self._right(probe, f"{gold}{stop}{gold}") for gold in probe.answers):
                continue
            self.not_ended += 1
            if len(self.not_ended_examples) < EXAMPLES_KEPT:
                gold = probe.answers[0]
                text = f"{gold!r} and {stop!r}: the answer goes on"
                self.not_ended_examples.append(Example(case=case.id, text=text))
            return

    def _right(self, probe: Probe, text: str) -> bool:
        """Return whether the model is right if it generates ``text``, character by character, until the stop rule ends it."""
        ends = (end for end in range(1, len(text)) if self.protocol.truncator.is_complete(text[:end], end, None))
        left = self._left_of(text[: next(ends, len(text))])
        return self.metric.score([probe.answered(left)])[0].value == 1

    def _best(self, probe: Probe) -> float | None:
        """Return the best score of an accepted answer, or None if none is scored."""
        if self.metric.expensive:
            self.reason = self.reason or "the metric asks a service or loads a model; name another metric"
            return None
        scores = self.metric.score([probe.answered(self._left_of(text)) for text in _perfect(probe)])
        values = [score.value for score in scores if score.value is not None]
        if not values:
            self.reason = self.reason or scores[0].reason
        return max(values, default=None)

    def _left_of(self, text: str) -> Answer:
        said = Output(text=text, token_ids=(), stop_reason="end-of-sequence")
        return self.protocol.truncator.truncate(said, None)

    def _miss(self, case: EditCase, probe: Probe) -> None:
        self.unreachable += 1
        if len(self.examples) < EXAMPLES_KEPT:
            gold = probe.answers[0]
            self.examples.append(Example(case=case.id, text=f"of {gold!r} is left {self._left_of(gold).text!r}"))

    def ceiling(self) -> Ceiling:
        """Return the result."""
        by_construction = self.protocol.truncator.reads_gold
        scored = self.reachable + self.unreachable
        return Ceiling(
            protocol=self.protocol.name,
            metric=self.label,
            ceiling=1.0 if by_construction else self.reachable / scored if scored else None,
            by_construction=by_construction,
            unreachable=self.unreachable,
            unscored=self.unscored,
            reason=self.reason,
            examples=tuple(self.examples),
            not_ended=self.not_ended,
            not_ended_examples=tuple(self.not_ended_examples),
        )


def _perfect(probe: Probe) -> Iterator[str]:
    return (answer + closing for answer in probe.answers for closing in CLOSINGS)
