"""The failure filter: only the cases that the unedited model gets wrong (Yang et al., ACL 2025, section 3 and appendix A.2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from wildcore.errors import Message, Option, UserError
from wildcore.evaluation.questions import render_questions
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.interfaces import Metric, Progress
from wildcore.protocols import ReadyProtocol
from wildcore.types import EditCase, FrozenData

ASKED_AT_ONCE = 64


class FailureCount(FrozenData):
    """Counts of the filter: cases asked, cases that the model gets right, cases that could not be scored, cases kept."""

    protocol: str
    metric: str
    asked: int
    right: int
    unscored: int
    kept: int

    def __str__(self) -> str:
        unscored = f", {self.unscored} could not be scored" if self.unscored else ""
        return (
            f"only failures: {self.kept} of {self.asked} cases kept; the unedited model gets {self.right} right "
            f"under {self.protocol} ({self.metric}){unscored}"
        )


@dataclass
class FailureFilter:
    """Asks the unedited model every candidate's edit prompts under ``protocol``. Answers are read from its store and added to
    it.
    """

    unedited: UneditedAnswers
    protocol: ReadyProtocol
    kept: list[EditCase] = field(default_factory=list)
    asked: int = 0
    unscored: int = 0

    def take(self, candidates: Iterator[EditCase], wanted: int | None, progress: Progress) -> FailureCount:
        """Keep the first ``wanted`` failing candidates (None: all). Asks no more candidates than necessary, except in the last
        batch.

        ``progress`` shows how many of the wanted cases are kept, or how many candidates were asked.
        """
        label, metric = first_metric(self.protocol, Option("only_failures"))
        with progress.track("asking the unedited model", wanted) as advance:
            while wanted is None or len(self.kept) < wanted:
                batch = list(islice(candidates, ASKED_AT_ONCE))
                if not batch:
                    break
                before = len(self.kept)
                self._sift(batch, metric, wanted)
                advance(len(batch) if wanted is None else len(self.kept) - before)
        right = self.asked - self.unscored - len(self.kept)
        return FailureCount(
            protocol=self.protocol.name,
            metric=label,
            asked=self.asked,
            right=right,
            unscored=self.unscored,
            kept=len(self.kept),
        )

    def _sift(self, batch: Sequence[EditCase], metric: Metric, wanted: int | None) -> None:
        for case, values in zip(batch, self._values(batch, metric), strict=True):
            if wanted is not None and len(self.kept) == wanted:
                return
            self.asked += 1
            if not values or None in values:
                self.unscored += 1
            elif min(value for value in values if value is not None) < 1:
                self.kept.append(case)

    def _values(self, batch: Sequence[EditCase], metric: Metric) -> list[list[float | None]]:
        """Return for each case the scores of the unedited model's answers to its edit prompts; None for an answer without a
        score.
        """
        asked = [
            (index, probe) for index, case in enumerate(batch) for probe in case.probes if probe.kind == "reliability"
        ]
        questions = render_questions(self.unedited.model, self.protocol, [probe for _, probe in asked])
        answers = self.unedited.answers(self.protocol, questions)
        items = [
            [probe.answered(answer, question.gold.token_ids) for answer in given]
            for (_, probe), question, given in zip(asked, questions, answers, strict=True)
        ]
        scores = iter(metric.score([item for of_probe in items for item in of_probe]))
        values: list[list[float | None]] = [[] for _ in batch]
        for (index, _), of_probe in zip(asked, items, strict=True):
            values[index] += [score.value for score in islice(scores, len(of_probe))] or [None]
        return values


def first_metric(protocol: ReadyProtocol, asker: Message) -> tuple[str, Metric]:
    """Return the metric by which a protocol first scores an edit. Raises ``UserError`` naming ``asker`` if it has none."""
    for label, metric in protocol.metrics.get("reliability", ()):
        if not metric.reads_unedited:
            return label, metric
    raise UserError(f"protocol {protocol.name} has no metric for reliability", about=asker)
