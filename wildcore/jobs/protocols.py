"""From names and settings to protocols: their modules, and what a job replaces in them or adds to them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wildcore.datasets.selection import Reader
from wildcore.errors import UserError
from wildcore.interfaces import Metric, Offer
from wildcore.jobs.build import identity, make
from wildcore.jobs.spec import SECTIONS, JobSpec, check_names, names_used, own_name, settings_for
from wildcore.params import ContextParams, Params, build
from wildcore.protocols import Metrics, ReadyProtocol, as_variant
from wildcore.records.provenance import source_of
from wildcore.registry import Found, Registry
from wildcore.types import PROBE_KINDS, EvalProtocol, ProbeKind, Use

PARTS = ("context", "generator", "truncator")


def ready_protocols(registry: Registry, spec: JobSpec, editors: Sequence[str], reader: Reader) -> list[ReadyProtocol]:
    """Make the job's protocols, each with the modules that the job replaces in it.

    ``editors`` are all editors that run in the call; ``reader`` sets cases aside for contexts that show examples. Raises
    ``UserError`` for a setting that nothing uses, and for a protocol or a metric that is named twice.
    """
    if len(set(spec.metrics)) < len(spec.metrics):
        raise UserError("--metric: a metric is named twice")
    ready: dict[str, ReadyProtocol] = {}
    used: dict[str, set[str]] = {section: set() for section in SECTIONS}
    for name in spec.protocols:
        protocol = variant(registry, registry.find_protocol(name), spec)
        if protocol.name in ready:
            raise UserError(f"--protocol {name}: it is named twice")
        ready[protocol.name] = make_protocol(registry, _with_examples(registry, protocol, reader))
        for section, use in _uses(protocol):
            used[section].add(own_name(use.name))
    used |= names_used(editors)
    used["dataset"] = {own_name(spec.dataset)} if spec.dataset else set()
    used["metric"] |= {own_name(metric) for metric in spec.added_metrics}
    check_names(spec.settings, used)
    return list(ready.values())


@dataclass(frozen=True)
class AddedMetric:
    """A metric that scores in addition to those of the protocols. ``module`` is its description for the record."""

    label: str
    metric: Metric
    module: Mapping[str, Any]


def added_metrics(registry: Registry, names: Sequence[str], settings: Mapping[str, Any]) -> list[AddedMetric]:
    """Make the metrics called ``names``. Raises ``UserError`` for an unknown one, or one named twice."""
    added: dict[str, AddedMetric] = {}
    for name in names:
        found = registry.find("metric", name)
        own = settings_for(settings, "metric", found.offer.name)
        metric, params = make(found, "metric", own)
        label = _label(registry, found, params)
        if label in added:
            raise UserError(f"the metric {label} is added twice")
        added[label] = AddedMetric(label, metric, identity(found, params))
    return list(added.values())


def by_kind(added: Sequence[AddedMetric]) -> Metrics:
    """Return which probes added metrics score: those that compare with the unedited model score locality, the others the rest."""
    comparing = tuple((one.label, one.metric) for one in added if one.metric.reads_unedited)
    judging = tuple((one.label, one.metric) for one in added if not one.metric.reads_unedited)
    return {kind: comparing if kind == "locality" else judging for kind in PROBE_KINDS}


def _with_examples(registry: Registry, protocol: EvalProtocol, reader: Reader) -> EvalProtocol:
    """Give the examples of the dataset to a context that shows them; its parameters then contain them."""
    found = registry.find("context", protocol.context.name)
    where = f"context {found.offer.name} (plugin {found.plugin})"
    params = build(found.offer.params, protocol.context.params, where)
    if not isinstance(params, ContextParams):
        return protocol
    needed = params.examples_needed()
    complete = params.with_examples(reader.examples(needed) if needed else ())
    use = Use(name=protocol.context.name, params=complete.model_dump(mode="json", exclude_defaults=True))
    return protocol.model_copy(update={"context": use})


def _uses(protocol: EvalProtocol) -> Iterator[tuple[str, Use]]:
    for part in PARTS:
        yield part, getattr(protocol, part)
    for uses in protocol.metrics.values():
        yield from (("metric", use) for use in uses)


def variant(registry: Registry, found: Found[EvalProtocol], spec: JobSpec) -> EvalProtocol:
    """Return the protocol with the job's replacements; a variant if that changes anything."""
    published = _plain(registry, found)
    changed = published.model_copy(
        update={
            "context": _replaced(registry, "context", published.context, spec.context, spec),
            "generator": _replaced(registry, "generator", published.generator, spec.generator, spec),
            "truncator": _replaced(registry, "truncator", published.truncator, spec.truncator, spec),
            "metrics": _replaced_metrics(registry, published, spec),
        }
    )
    return as_variant(changed, published)


def resolve_protocol(registry: Registry, definition: EvalProtocol) -> EvalProtocol:
    """Return a protocol with every parameter of its modules resolved. Raises ``UserError`` if it is invalid."""

    def resolved(section: str, use: Use) -> Use:
        found = registry.find(section, use.name)
        params = build(found.offer.params, use.params, f"{section} {found.offer.name} (plugin {found.plugin})")
        return Use(name=use.name, params=params.model_dump(mode="json"))

    parts = {part: resolved(part, getattr(definition, part)) for part in PARTS}
    metrics = {kind: tuple(resolved("metric", use) for use in uses) for kind, uses in definition.metrics.items()}
    return definition.model_copy(update={**parts, "metrics": metrics})


def make_protocol(registry: Registry, definition: EvalProtocol) -> ReadyProtocol:
    """Make the modules of a protocol; its definition then has every parameter resolved."""
    resolved = resolve_protocol(registry, definition)

    def made(section: str, use: Use) -> Any:
        return make(registry.find(section, use.name), section, use.params)[0]

    context, generator, truncator = (made(part, getattr(resolved, part)) for part in PARTS)

    def labelled(use: Use) -> tuple[str, Any]:
        found = registry.find("metric", use.name)
        metric, params = make(found, "metric", use.params)
        return _label(registry, found, params), metric

    metrics = {kind: tuple(labelled(use) for use in uses) for kind, uses in definition.metrics.items()}
    sources = {part: source_of(registry, registry.find(part, getattr(resolved, part).name)) for part in PARTS}
    return ReadyProtocol(resolved, context, generator, truncator, metrics, sources)


def _label(registry: Registry, found: Found[Offer[Any]], params: Params) -> str:
    """Return the label of a metric's scores: its name, and the parameters that differ from the default and affect the result."""
    values = params.model_dump(mode="json", exclude_defaults=True, exclude=set(params.without_effect))
    return str(Use(name=registry.unambiguous_name("metric", found), params=values))


def _replaced(registry: Registry, section: str, use: Use, name: str | None, spec: JobSpec) -> Use:
    found = registry.find(section, name or use.name)
    kept = use.params if registry.unambiguous_name(section, found) == use.name else {}
    settings = settings_for(spec.settings, section, found.offer.name)
    return _minimal(registry, section, found, {**kept, **settings})


def _replaced_metrics(registry: Registry, published: EvalProtocol, spec: JobSpec) -> dict[ProbeKind, tuple[Use, ...]]:
    """Return the metrics with the job's replacements: a metric that compares with the unedited model replaces those of
    locality, any other metric those of the other kinds.
    """
    asked = [_replaced(registry, "metric", Use(name=name), None, spec) for name in spec.metrics]
    comparing = tuple(use for use in asked if _compares(registry, use))
    judging = tuple(use for use in asked if use not in comparing)
    metrics: dict[ProbeKind, tuple[Use, ...]] = {}
    for kind in PROBE_KINDS:
        replacement = comparing if kind == "locality" else judging
        own = tuple(_replaced(registry, "metric", use, None, spec) for use in published.metrics.get(kind, ()))
        metrics[kind] = replacement or own
    return metrics


def _compares(registry: Registry, use: Use) -> bool:
    metric, _ = make(registry.find("metric", use.name), "metric", use.params)
    return bool(metric.reads_unedited)


def _plain(registry: Registry, found: Found[EvalProtocol]) -> EvalProtocol:
    """Return a protocol in the form in which protocols are compared. Its names mean its own plugin's modules first."""
    protocol = found.offer

    def plain(section: str, use: Use) -> Use:
        return _minimal(registry, section, registry.find(section, use.name, near=found.plugin), use.params)

    return protocol.model_copy(
        update={
            **{part: plain(part, getattr(protocol, part)) for part in PARTS},
            "metrics": {
                kind: tuple(plain("metric", use) for use in protocol.metrics.get(kind, ())) for kind in PROBE_KINDS
            },
        }
    )


def _minimal(registry: Registry, section: str, found: Found[Offer[Any]], settings: Mapping[str, Any]) -> Use:
    """Return a use with only the parameters that differ from their defaults, so that equal uses compare equal."""
    where = f"{section} {found.offer.name} (plugin {found.plugin})"
    params = build(found.offer.params, settings, where).model_dump(mode="json", exclude_defaults=True)
    return Use(name=registry.unambiguous_name(section, found), params=params)
