"""From the harness's results to numbers of the model."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isclose, isfinite
from statistics import fmean
from typing import Any

from wildcore import Measured

ERROR = "_stderr"
SHARE = "share"
"""Key in the details: the number is a share between 0 and 1, to which a test in points applies."""


def measured(
    results: Mapping[str, Any],
    problems: Mapping[str, Counter[str]],
    cut: Mapping[str, int],
    facts: Mapping[str, Any],
) -> list[Measured]:
    """Return every number of the harness's ``results``, a group before its subtasks.

    ``problems`` counts for each task the requests that could not be answered, by reason: its numbers, and those of its groups,
    then have no value. ``cut`` counts the contexts that were cut. ``facts`` are added to the details of every number.
    """
    found = _Results(results, problems, cut, facts)
    return [number for name in found.names() for number in found.of(name)]


class _Results:
    def __init__(
        self,
        results: Mapping[str, Any],
        problems: Mapping[str, Counter[str]],
        cut: Mapping[str, int],
        facts: Mapping[str, Any],
    ) -> None:
        self.results, self.problems, self.cut, self.facts = results, problems, cut, facts
        self.children: Mapping[str, Sequence[str]] = results["group_subtasks"]

    def names(self) -> list[str]:
        """Return all names in order, each group followed by its subtasks."""
        nested = {child for children in self.children.values() for child in children}
        roots = [name for name in (*self.children, *self.results["results"]) if name not in nested]
        return list(dict.fromkeys(name for root in roots for name in self._with_subtasks(root)))

    def _with_subtasks(self, name: str) -> Iterator[str]:
        yield name
        for child in self.children.get(name, ()):
            yield from self._with_subtasks(child)

    def _leaves(self, name: str) -> list[str]:
        return [one for one in self._with_subtasks(name) if one not in self.children]

    def of(self, name: str) -> Iterator[Measured]:
        """Yield the numbers of one task or group."""
        given = self.results["results"].get(name, {})
        keys = [key.split(",", 1) for key in given if "," in key and not key.split(",", 1)[0].endswith(ERROR)]
        filters = Counter(metric for metric, _ in keys)
        for metric, kept in keys:
            label = metric if filters[metric] == 1 else f"{metric},{kept}"
            yield self._number(f"{name}/{label}", name, metric, kept)

    def _number(self, label: str, name: str, metric: str, kept: str) -> Measured:
        given = self.results["results"][name]
        value, reason = _as_number(given[f"{metric},{kept}"]), self._problem(name)
        if value is None and reason is None:
            reason = f"the harness gives {str(given[f'{metric},{kept}'])[:100]}"
        samples = [sample for leaf in self._leaves(name) for sample in self._samples(leaf, metric, kept)]
        items = len(samples) or int(given.get("sample_len", 0))
        is_mean = value is not None and _is_mean(value, samples)
        known: Mapping[str, Any] = self.results["higher_is_better"].get(name) or {}
        return Measured(
            name=label,
            value=None if reason else value,
            reason=reason,
            standard_error=None if reason else _as_number(given.get(f"{metric}{ERROR},{kept}")),
            higher_is_better=known.get(metric),
            items=items,
            samples=tuple(samples) if is_mean and not reason else (),
            details=self._details(name, metric, kept),
        )

    def _problem(self, name: str) -> str | None:
        counted = sum((self.problems.get(leaf, Counter()) for leaf in self._leaves(name)), Counter())
        if not counted:
            return None
        return "; ".join(f"{reason} ({count} requests)" for reason, count in counted.most_common())

    def _samples(self, task: str, metric: str, kept: str) -> list[float]:
        """Return a metric's values by document; empty unless every document has one number."""
        rows = [row for row in self.results["samples"].get(task, ()) if row["filter"] == kept]
        values = [_as_number(row.get(metric)) for row in rows]
        return [value for value in values if value is not None] if None not in values else []

    def _details(self, name: str, metric: str, kept: str) -> dict[str, Any]:
        leaves = self._leaves(name)
        details = {
            "task": name,
            "metric": metric,
            "filter": kept,
            "version": self.results["versions"].get(name),
            "num_fewshot": self.results["n-shot"].get(name),
            **self.facts,
        }
        if name in self.children:
            details["subtasks"] = list(self.children[name])
            details[SHARE] = all(self._is_share(leaf, metric, kept) for leaf in leaves)
        if cut := sum(self.cut.get(leaf, 0) for leaf in leaves):
            details["contexts_cut"] = cut
        return details

    def _is_share(self, task: str, metric: str, kept: str) -> bool:
        """Return whether a task's number is the mean of values between 0 and 1, or the task has no such number."""
        value = _as_number(self.results["results"][task].get(f"{metric},{kept}"))
        samples = self._samples(task, metric, kept)
        return value is None or (_is_mean(value, samples) and all(0 <= sample <= 1 for sample in samples))


def _as_number(value: Any) -> float | None:
    """Return a finite number as a float; None for anything else, such as the harness's "N/A"."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _is_mean(value: float, samples: Sequence[float]) -> bool:
    return bool(samples) and isclose(value, fmean(samples), rel_tol=1e-9, abs_tol=1e-12)
