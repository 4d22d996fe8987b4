"""Scores computed again from the stored answers of a run, by the metrics that its manifest names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from typing import Any

from wildcore import NO_PROGRESS, Environment, Metric, ProbeKind, Score, UserError
from wildcore.jobs.build import segmenters
from wildcore.jobs.modules import ResolvedModule, resolve
from wildcore.jobs.protocols import AddedMetric, by_kind
from wildcore.protocols import Metrics, with_added
from wildcore.records.schema import ScoreRecord
from wildcore.registry import Registry
from wildcore.scoring.scores import ScoreKey, score_case, score_key
from wildcore_leaderboard.findings import Problem, Unchecked
from wildcore_leaderboard.recorded import Recorded

SCORES = "scores.jsonl"
CLOSE = 1e-9
"""Largest difference between a recorded score and a recomputed one, relative to it: libraries differ in the last digits."""
LISTED = 20
"""Most wrong scores that are listed one by one."""


@dataclass
class Recomputed:
    """The metrics of a run by protocol, and why others were not recomputed, by their labels."""

    metrics: dict[str, Metrics] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)


def metrics_of(run: Recorded, registry: Registry, cache: Path) -> Recomputed:
    """Make the metrics that the run names, without asking a service, loading a model or reading a file that the run names."""
    found = Recomputed()
    environment = Environment(cache, _seed(run), NO_PROGRESS, segmenter=segmenters(registry))
    made: dict[str, Metric | None] = {}

    def metric_of(name: str, params: Mapping[str, Any]) -> tuple[str, Metric] | None:
        label, module, why = _resolved(registry, name, params)
        if label not in made:
            made[label], why = _made(module, environment) if module else (None, why)
            if why:
                found.unchecked[label] = why
        metric = made[label]
        return None if metric is None else (label, metric)

    added = []
    for one in run.added:
        name = f"{one.module.get('plugin')}/{one.module.get('name')}"
        params = one.module.get("params")
        pair = metric_of(name, params if isinstance(params, Mapping) else {})
        if pair is not None:
            added.append(AddedMetric(one.metric, pair[1], one.module))
    for protocol in run.manifest.protocols:
        own: dict[ProbeKind, tuple[tuple[str, Metric], ...]] = {}
        for kind, uses in protocol.metrics.items():
            own[kind] = tuple(pair for use in uses if (pair := metric_of(use.name, use.params)) is not None)
        found.metrics[protocol.name] = with_added(own, by_kind(added))
    return found


def findings_of_scores(run: Recorded, recomputed: Recomputed) -> Iterator[Problem]:
    """Yield the scores that are not what the metrics give, that are missing, or that belong to nothing."""
    stored = {score_key(score): score for score in run.scores}
    expected: set[ScoreKey] = set()
    wrong: list[Problem] = []
    for record in run.cases:
        for again in score_case(record, recomputed.metrics):
            key = score_key(again)
            expected.add(key)
            found = stored.get(key)
            if found is None:
                wrong.append(Problem(where=_place(key), problem="the score is missing"))
            elif (difference := _difference(found, again)) is not None:
                wrong.append(Problem(where=_place(key), problem=difference))
    wrong += [
        Problem(where=_place(key), problem="it is the score of an answer or by a metric that the run does not have")
        for key in stored
        if key not in expected and not _is_of(key[-1], recomputed.unchecked)
    ]
    yield from wrong[:LISTED]
    if len(wrong) > LISTED:
        yield Problem(where=SCORES, problem=f"further wrong scores: {len(wrong) - LISTED}")


def computed_again(run: Recorded, recomputed: Recomputed) -> int:
    """Return how many of the recorded scores were computed again."""
    return sum(not _is_of(score.metric, recomputed.unchecked) for score in run.scores)


def _seed(run: Recorded) -> int:
    seed = run.manifest.job.get("seed")
    return seed if isinstance(seed, int) else 0


def _resolved(registry: Registry, name: str, params: Mapping[str, Any]) -> tuple[str, ResolvedModule | None, str]:
    try:
        module = resolve(registry, "metric", registry.find("metric", name), params)
    except UserError as error:
        return name.rpartition("/")[2], None, str(error)
    return module.label, module, ""


def _made(module: ResolvedModule, environment: Environment) -> tuple[Metric | None, str]:
    """Return the metric; None and the reason if it must not or cannot be made here."""
    if any(isinstance(getattr(module.params, name), Path) for name in type(module.params).model_fields):
        return None, "it reads a file that the run names"
    try:
        metric: Metric = module.make()
        if metric.expensive:
            return None, "it asks a service or loads a model"
        metric.prepare(environment)
    except UserError as error:
        return None, str(error)
    return metric, ""


def _is_of(label: str, unchecked: Mapping[str, str]) -> bool:
    """Return whether ``label`` is that of a metric that was not recomputed; of a missing plugin only the name is known."""
    return label in unchecked or label.partition("(")[0].rpartition("/")[2] in unchecked


def is_allowed(label: str, allowed: Sequence[str]) -> bool:
    """Return whether ``label``, or the name at its beginning, is among ``allowed``."""
    return label in allowed or label.partition("(")[0] in allowed


def not_recomputed(recomputed: Recomputed) -> list[Unchecked]:
    """Return the metrics that were not recomputed, and why."""
    return [Unchecked(what=label, reason=reason) for label, reason in recomputed.unchecked.items()]


def _difference(found: ScoreRecord, again: ScoreRecord) -> str | None:
    """Return how a recorded score differs from the recomputed one. None: it does not."""
    if found.kind != again.kind:
        return f"it is recorded as {found.kind} and is {again.kind}"
    for when in ("before", "after"):
        then, now = getattr(found, when), getattr(again, when)
        if not _same(then, now):
            return f"{when} is recorded as {_shown(then)}, and the stored answer gives {_shown(now)}"
        if getattr(found, f"{when}_reason") != getattr(again, f"{when}_reason"):
            return f"the reason for no score {when} is not the one that the metric gives"
        if not _same_samples(getattr(found, f"{when}_samples"), getattr(again, f"{when}_samples")):
            return f"the samples {when} are not what the metric gives"
    return None


def _same(then: float | None, now: float | None) -> bool:
    if then is None or now is None:
        return then is now
    return isclose(then, now, rel_tol=CLOSE, abs_tol=CLOSE)


def _same_samples(then: Sequence[Score], now: Sequence[Score]) -> bool:
    return len(then) == len(now) and all(_same(a.value, b.value) for a, b in zip(then, now, strict=True))


def _shown(value: float | None) -> str:
    return "no score" if value is None else f"{value:g}"


def _place(key: ScoreKey) -> str:
    case, after_edits, protocol, probe, metric = key
    point = f" after {after_edits} edits" if after_edits is not None else ""
    return f"{SCORES}, case {case}{point}, {protocol}, probe {probe}, {metric}"
