"""The numbers of a run for trackers, and their names (docs/trackers.md)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import isfinite
from statistics import fmean
from typing import Any

from wildcore.evaluation.measuring import ARE_THE_SAME
from wildcore.records.schema import JudgingPointRecord, ScoreRecord
from wildcore.scoring.values import case_means

SUMMARY = "summary"
"""What the names of a summary's numbers begin with: their means may be over other cases than those of the last judging point."""


def means(scores: Iterable[ScoreRecord]) -> dict[str, float]:
    """Return the means before and after the edits, as a run's table has them: over the cases that were scored after."""
    groups: dict[str, list[ScoreRecord]] = defaultdict(list)
    for score in scores:
        if score.after is not None:
            groups[_name(score.protocol, score.kind, score.metric)].append(score)
    found = {}
    for name, group in groups.items():
        for when in ("before", "after"):
            of_cases = case_means((score.case, getattr(score, when)) for score in group)
            if of_cases:
                found[f"{name}/{when}"] = fmean(of_cases.values())
    return found


def of_model(point: JudgingPointRecord) -> dict[str, float]:
    """Return what was measured of the model at a judging point."""
    found: dict[str, float | None] = {
        f"measured/{name}/{number.name}": number.value for name, numbers in point.measured.items() for number in numbers
    }
    if point.after_edits:
        found["collapse/signs"] = len(point.collapse)
        found["collapse/logits-not-finite"] = point.not_finite
    for protocol, share in point.most_frequent.items():
        found[f"collapse/most-frequent-answer/{protocol}"] = share
    for weight in point.weights:
        for part in ("norm", "change", "last_update"):
            found[f"weights/{weight.module}/{part.replace('_', '-')}"] = getattr(weight, part)
    return _finite(found)


def signs_without_answers(point: JudgingPointRecord) -> tuple[str, ...]:
    """Return the signs of a collapse without the text of the answer that some contain."""
    cut = (sign.partition(ARE_THE_SAME) for sign in point.collapse)
    return tuple(before + found if found else before for before, found, _ in cut)


def of_summary(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a run's summary (``wildcore.scoring.summary.summary``)."""
    found: dict[str, float | None] = {
        part.replace("_", "-"): summary[part] for part in ("cases", "refused", "diverged", "seconds_per_edit")
    }
    for cell in summary["cells"]:
        name = _name(cell["protocol"], cell["kind"], cell["metric"])
        for part in ("before", "after", "low", "high"):
            found[f"{name}/{part}"] = cell[part]
        if cell["unscored"]:
            found[f"{name}/unscored"] = cell["unscored"]
    if gap := summary["synthetic_minus_wild"]:
        for part in ("difference", "low", "high"):
            found[f"synthetic-minus-wild/{part}"] = gap[part]
    return {f"{SUMMARY}/{name}": value for name, value in _finite(found).items()}


def _name(protocol: str, kind: str, metric: str) -> str:
    return f"{protocol}/{kind}/{metric}"


def _finite(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in numbers.items() if value is not None and isfinite(value)}
