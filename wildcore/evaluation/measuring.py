"""What is measured of a whole model at a judging point, and the signs of a collapse."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from wildcore.errors import Option, UserError
from wildcore.evaluation.checkpoints import SequenceState
from wildcore.interfaces import Measurement, Progress
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import encode
from wildcore.records.schema import CaseRecord, JudgingPointRecord, WeightChange, changed_values
from wildcore.types import Answer, EditCase, Measured, Prompt

PROMPTS_READ = 16
"""Most edit prompts after which the logits are looked at."""
FEWEST_ANSWERS = 10
"""Fewest answers of which the share of the most frequent one can be a sign of a collapse."""
CONSTANT = 0.5
"""From this share on, the most frequent answer is a sign of a collapse, unless it is usual: see ``_constant``."""
USUAL = 0.5
"""Share of ``CONSTANT`` answers up to which the golds, or the answers of the unedited model, count as varied."""

ARE_THE_SAME = "are the same"
"""What follows in a sign of a collapse is the text of an answer."""

Numbers = Mapping[str, tuple[Measured, ...]]
"""The numbers of each measurement, by its name."""


@dataclass
class ModelMeasurer:
    """Measures a model at the judging points of a sequence. ``unedited`` are the numbers of the unedited model."""

    model: LoadedModel
    measurements: Mapping[str, Measurement]
    progress: Progress
    unedited: Numbers = field(default_factory=dict)
    _original_norms: dict[str, float] = field(default_factory=dict)

    def measure_unedited(self) -> JudgingPointRecord:
        """Measure the unedited model, and keep the numbers for comparison."""
        self.unedited = self._numbers()
        return JudgingPointRecord(after_edits=0, measured=self.unedited, resources=self._resources())

    def resume(self, unedited: JudgingPointRecord) -> None:
        """Compare further numbers with the recorded ones of the unedited model. Raises ``UserError`` if they would depend on
        other resources, such as a changed text file. An earlier version recorded no resources, and nothing is compared then.
        """
        different = changed_values(unedited.resources, self._resources()) if unedited.resources else []
        if different:
            raise UserError(
                f"the model is measured on something else than before: {'; '.join(different)}",
                about=Option("resume"),
                way_out="restore what has changed, or begin a new run",
            )
        self.unedited = unedited.measured

    def _resources(self) -> dict[str, dict[str, Any]]:
        described = {name: dict(measurement.pin_resources()) for name, measurement in self.measurements.items()}
        return {name: resources for name, resources in described.items() if resources}

    def measure(
        self, written: SequenceState, after_edits: int, cases: Sequence[EditCase], records: Sequence[CaseRecord]
    ) -> JudgingPointRecord:
        """Measure the model under what was ``written``; ``records`` are the evaluations of ``cases`` at this point."""
        weights = tuple(self._weight_changes(written))
        with written.patch.applied(self.model):
            numbers = self._numbers()
            not_finite = _share_not_finite(self.model, cases)
        frequent = {protocol: share for protocol, share, _ in _most_frequent(records)}
        return JudgingPointRecord(
            after_edits=after_edits,
            weights=weights,
            not_finite=not_finite,
            most_frequent=frequent,
            measured=numbers,
            collapse=tuple(self._signs(not_finite, numbers, records)),
        )

    def _numbers(self) -> Numbers:
        found = {}
        for name, measurement in self.measurements.items():
            with self.progress.track(f"measuring {name}", None), torch.no_grad():
                found[name] = tuple(measurement.measure(self.model))
        return found

    def _weight_changes(self, written: SequenceState) -> Iterator[WeightChange]:
        """Yield how far each changed weight has moved; the model must be unedited."""
        for name, total in written.patch.sums.items():
            weight = self.model.projection(name).weight
            if name not in self._original_norms:
                self._original_norms[name] = _norm(weight)
            original = self._original_norms[name]
            yield WeightChange(
                module=name,
                norm=_ratio(_norm(weight.to(total) + total), original),
                change=_ratio(_norm(total), original),
                last_update=_ratio(written.last_update.get(name, 0.0), original),
            )

    def _signs(self, not_finite: float | None, numbers: Numbers, records: Sequence[CaseRecord]) -> Iterator[str]:
        if not_finite:
            yield f"the logits are not finite after {not_finite:.0%} of the edit prompts"
        for protocol, share, text in _most_frequent(records):
            if _constant(protocol, share, records):
                yield f"{share:.0%} of the answers under {protocol} {ARE_THE_SAME}: {text!r:.60}"
        for name, measurement in self.measurements.items():
            yield from measurement.signs_of_collapse(self.unedited.get(name, ()), numbers[name])


def _share_not_finite(model: LoadedModel, cases: Sequence[EditCase]) -> float | None:
    """Return the share of edit prompts, at most ``PROMPTS_READ`` evenly spaced ones, after which the logits are not finite."""
    step = max(1, len(cases) // PROMPTS_READ)
    prompts = [case.request.prompt for case in cases[::step]][:PROMPTS_READ]
    return sum(not has_finite_logits(model, prompt) for prompt in prompts) / len(prompts) if prompts else None


def has_finite_logits(model: LoadedModel, prompt: str) -> bool:
    """Return whether the model's logits after ``prompt`` are finite."""
    ids = torch.tensor([encode(model.tokenizer, Prompt(text=prompt))], device=model.device)
    positions = torch.arange(ids.shape[1], device=model.device)[None]
    with torch.no_grad():
        logits, _ = model.forward(ids, torch.ones_like(ids), positions, logits_to_keep=1)
    return bool(logits.isfinite().all())


def _most_frequent(records: Sequence[CaseRecord]) -> Iterator[tuple[str, float, str]]:
    """Yield for each protocol the share of the most frequent answer to edit prompts, and that answer."""
    answers: dict[str, list[str]] = {}
    for record in records:
        for probe in record.probes:
            if probe.kind == "reliability":
                answers.setdefault(probe.protocol, []).extend(_texts(probe.after))
    for protocol, texts in answers.items():
        if texts:
            text, count = Counter(texts).most_common(1)[0]
            yield protocol, count / len(texts), text


def _constant(protocol: str, share: float, records: Sequence[CaseRecord]) -> bool:
    """Return whether ``share`` is a sign of a collapse: neither the golds nor the unedited model's answers are as alike."""
    probes = [p for record in records for p in record.probes if p.protocol == protocol and p.kind == "reliability"]
    golds = [probe.answers[0] for probe in probes]
    before = [text for probe in probes for text in _texts(probe.before)]
    if len(golds) < FEWEST_ANSWERS or share < CONSTANT:
        return False
    usual = max(Counter(texts).most_common(1)[0][1] / len(texts) for texts in (golds, before) if texts)
    return usual <= USUAL * share


def _texts(answers: Sequence[Answer]) -> list[str]:
    return [answer.text.strip() for answer in answers]


def _norm(matrix: Tensor) -> float:
    return float(torch.linalg.vector_norm(matrix, dtype=torch.float64))


def _ratio(value: float, original: float) -> float | None:
    ratio = value / original if original else float("nan")
    return ratio if isfinite(ratio) else None
