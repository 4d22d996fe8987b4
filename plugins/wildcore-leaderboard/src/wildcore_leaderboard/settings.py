"""What must be equal for two runs to be ranked together: the setting, the protocol's content, and the metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from wildcore import PROBE_KINDS, ProbeKind
from wildcore.evaluation.schedules import short_description
from wildcore.records.schema import ScoreRecord
from wildcore.reporting.headline import counted
from wildcore_leaderboard.runs import Point, SiteRun

PARTS = ("context", "generator", "truncator")


def content(value: Any) -> str:
    """Return JSON values as a text that is equal for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def short_hash(text: str) -> str:
    """Return a short hash of a text, for addresses within the site."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:10]


@dataclass(frozen=True)
class Setting:
    """What a run did before any protocol: model, facts, schedule, and the judging point. ``key`` is equal if all of that is.

    The key holds the content of model and tokenizer, the dtype, the hash of the dataset, the cases evaluated, the probes of
    hard locality, the schedule with its order of edits, and the judging point; of a given patch, how many edits it holds. Names
    of models and datasets are not part of it.
    """

    key: str
    schedule: str
    judged: str

    @classmethod
    def of(cls, run: SiteRun, point: Point) -> "Setting":
        """Return the setting of a run at a judging point."""
        model, dataset, schedule = (run.identity[name] for name in ("model", "dataset", "schedule"))
        judged = schedule["judged"] if point is None else f"after {counted(point, 'edit')}"
        patch = run.identity["editor"].get("patch")
        key = {
            "model": [model.get(name) for name in ("fingerprint", "tokenizer_fingerprint", "dtype")],
            "dataset": dataset.get("hash"),
            "hard locality": (dataset.get("hard_locality") or {}).get("hash"),
            "cases": sorted(run.cases[point]),
            "schedule": [schedule.get(name) for name in ("edits", "edits_per_update", "order")],
            "judged": judged,
            "edits in a given patch": None if patch is None else patch["requests"],
            "separator": run.identity.get("target_separator"),
        }
        if patch is not None:
            return cls(content(key), f"a patch of {counted(patch['requests'], 'edit')}", "under the patch")
        return cls(content(key), short_description(schedule), judged)

    @property
    def anchor(self) -> str:
        """The name of the setting in addresses."""
        return f"s-{short_hash(self.key)}"


@dataclass(frozen=True)
class Measure:
    """A protocol and the metrics of one table: the label of one metric for each probe kind that it has.

    ``key`` is equal if the content of all is: modules with every parameter, whatever their names. ``own``: these are the
    protocol's first metrics; others are added ones.
    """

    key: str
    protocol: str
    modules: Mapping[str, Any]
    labels: Mapping[ProbeKind, str]
    own: bool


def measures(run: SiteRun, scores: tuple[ScoreRecord, ...]) -> list[Measure]:
    """Return the tables in which a run's ``scores`` stand: for each protocol one of its first metrics, and one of each other."""
    recorded: dict[str, dict[ProbeKind, list[str]]] = {}
    for score in scores:
        labels = recorded.setdefault(score.protocol, {}).setdefault(score.kind, [])
        if score.metric not in labels:
            labels.append(score.metric)
    found = []
    for protocol, by_kind in recorded.items():
        modules = run.identity["protocols"].get(protocol)
        if modules is None:
            continue
        ordered = {kind: _own_first(modules, kind, by_kind[kind]) for kind in PROBE_KINDS if kind in by_kind}
        first = {kind: labels[0] for kind, labels in ordered.items()}
        found.append(_measure(run, protocol, modules, first, own=True))
        others = dict.fromkeys(label for kind, labels in ordered.items() for label in labels[1:])
        for label in others:
            of_kinds = {kind: label for kind, labels in ordered.items() if label in labels[1:]}
            found.append(_measure(run, protocol, modules, of_kinds, own=False))
    return found


def _own_first(modules: Mapping[str, Any], kind: ProbeKind, labels: list[str]) -> list[str]:
    """Return the labels of a kind's metrics, those of the protocol before those that were added."""
    own = [use["name"] for use in _uses(modules, kind)]
    return sorted(labels, key=lambda label: own.index(_name(label)) if _name(label) in own else len(own))


def _uses(modules: Mapping[str, Any], kind: ProbeKind) -> list[Mapping[str, Any]]:
    metrics = modules["metrics"]
    return list(metrics.get(kind) or (metrics.get("locality", ()) if kind == "hard-locality" else ()))


def _name(label: str) -> str:
    return label.partition("(")[0]


def _measure(
    run: SiteRun, protocol: str, modules: Mapping[str, Any], labels: Mapping[ProbeKind, str], own: bool
) -> Measure:
    contents = {kind: _content_of(run, modules, kind, label) for kind, label in labels.items()}
    parts = {part: modules[part] for part in PARTS}
    return Measure(content([parts, contents, own]), protocol, parts, labels, own)


def _content_of(run: SiteRun, modules: Mapping[str, Any], kind: ProbeKind, label: str) -> Any:
    """Return name and parameters of the metric that is recorded under ``label``."""
    if label in run.metrics:
        added = run.metrics[label]
        return {"name": added.get("name"), "params": added.get("params")}
    named = [use for use in _uses(modules, kind) if use["name"] == _name(label)]
    return {"label": label, "uses": [{"name": use["name"], "params": use.get("params")} for use in named]}


def in_words(use: Mapping[str, Any]) -> str:
    """Return a module with its parameters, such as autoregressive(max_new_tokens=50)."""
    params = use.get("params") or {}
    inner = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(params.items()))
    return f"{use['name']}({inner})" if inner else str(use["name"])
