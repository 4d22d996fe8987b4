"""The value of each case of a run, for each number of its table."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Literal

from wildcore.records.schema import ScoreRecord
from wildcore.types import ProbeKind

Key = tuple[str, ProbeKind, str]
"""Protocol, probe kind and metric: what a number of a run's table is of."""
Values = Mapping[str, float]
"""The mean score of each case of a run, over its probes of one kind."""


def case_values(scores: Iterable[ScoreRecord], when: Literal["before", "after"] = "after") -> dict[Key, Values]:
    """Return the value of each case that was scored, for each number of the table in order of appearance."""
    found: dict[Key, list[tuple[str, float | None]]] = defaultdict(list)
    for score in scores:
        found[score.protocol, score.kind, score.metric].append((score.case, getattr(score, when)))
    return {key: values for key, of_key in found.items() if (values := case_means(of_key))}


def case_means(values: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    """Return the mean of the values of each case that has any, in order of appearance."""
    by_case: dict[str, list[float]] = defaultdict(list)
    for case, value in values:
        if value is not None:
            by_case[case].append(value)
    return {case: fmean(of_case) for case, of_case in by_case.items()}
