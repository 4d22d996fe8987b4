"""From names and settings to protocols: finds their modules, and applies what a job replaces in them or adds to them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wildcore.datasets.selection import CaseReader
from wildcore.errors import Option, UserError
from wildcore.interfaces import Metric
from wildcore.jobs.chat import asks_in_chat
from wildcore.jobs.modules import ResolvedModule, resolve, validated
from wildcore.jobs.spec import SECTIONS, ProtocolChoice, refuse_unused_settings, settings_for
from wildcore.params import ContextParams
from wildcore.protocols import Metrics, ReadyProtocol, as_variant
from wildcore.records.provenance import source_of
from wildcore.registry import Found, Registry
from wildcore.types import LOCALITY_KINDS, PROBE_KINDS, EvalProtocol, ProbeKind, Use

PARTS = ("context", "generator", "truncator")

ResolvedMetrics = Mapping[ProbeKind, tuple[ResolvedModule, ...]]
"""Resolved metrics by probe kind."""


@dataclass(frozen=True)
class ResolvedProtocol:
    """A protocol whose modules have been found and validated, but not made yet.

    ``stated`` gives its name, summary and differences; ``parts`` are context, generator and truncator, by these words.
    """

    stated: EvalProtocol
    parts: Mapping[str, ResolvedModule]
    metrics: ResolvedMetrics

    @property
    def minimal(self) -> EvalProtocol:
        """The protocol with only the parameters that differ from their defaults: the form in which protocols are compared."""
        parts = {part: module.minimal for part, module in self.parts.items()}
        metrics = {kind: tuple(module.minimal for module in modules) for kind, modules in self.metrics.items()}
        return self.stated.model_copy(update={**parts, "metrics": metrics})

    @property
    def complete(self) -> EvalProtocol:
        """The protocol with every parameter of its modules: the form in which protocols are recorded."""
        parts = {part: module.complete for part, module in self.parts.items()}
        metrics = {kind: tuple(module.complete for module in modules) for kind, modules in self.metrics.items()}
        return self.stated.model_copy(update={**parts, "metrics": metrics})

    @property
    def modules(self) -> Iterator[ResolvedModule]:
        """All modules; a metric of several probe kinds occurs once for each."""
        yield from self.parts.values()
        for modules in self.metrics.values():
            yield from modules

    def make(self, registry: Registry) -> ReadyProtocol:
        """Make the modules."""
        context, generator, truncator = (self.parts[part].make() for part in PARTS)
        metrics = {
            kind: tuple((module.label, module.make()) for module in modules) for kind, modules in self.metrics.items()
        }
        sources = {part: source_of(registry, module.found) for part, module in self.parts.items()}
        chat = asks_in_chat(self.parts["context"].found.offer)
        return ReadyProtocol(self.complete, context, generator, truncator, metrics, sources, chat)


def ready_protocols(
    registry: Registry, spec: ProtocolChoice, beside: Mapping[str, set[str]], reader: CaseReader
) -> list[ReadyProtocol]:
    """Make the job's protocols, each with the modules that the job replaces in it.

    ``beside`` are the names of the other modules used in the call, by section. ``reader`` sets cases aside for contexts that
    show examples. Raises ``UserError`` for a setting that nothing uses, and for a protocol or a metric that is named twice.
    """
    if len(set(spec.metrics)) < len(spec.metrics):
        raise UserError("a metric is named twice", about=Option("metrics"))
    ready: dict[str, ReadyProtocol] = {}
    used = {section: set(beside.get(section, ())) for section in SECTIONS}
    for name in spec.protocols:
        protocol = variant(registry, registry.find_protocol(name), spec)
        if protocol.stated.name in ready:
            raise UserError("it is named twice", about=Option("protocols", name))
        ready[protocol.stated.name] = _with_examples(protocol, reader).make(registry)
        for module in protocol.modules:
            used[module.section] |= registry.names(module.section, module.name)
    refuse_unused_settings(spec.settings, used)
    return list(ready.values())


@dataclass(frozen=True)
class AddedMetric:
    """A metric that scores in addition to those of the protocols. ``module`` is its description for the manifest."""

    label: str
    metric: Metric
    module: Mapping[str, Any]


def added_metrics(registry: Registry, names: Sequence[str], settings: Mapping[str, Any]) -> list[AddedMetric]:
    """Make the metrics called ``names``. Raises ``UserError`` for an unknown one, or one named twice."""
    added: dict[str, AddedMetric] = {}
    for name in names:
        module = _asked_metric(registry, name, settings)
        metric = module.make()
        if module.label in added:
            raise UserError("it is added twice", about=f"metric {module.label}")
        added[module.label] = AddedMetric(module.label, metric, module.identity)
    return list(added.values())


def by_kind(added: Sequence[AddedMetric]) -> Metrics:
    """Return the added metrics by probe kind. Metrics that compare with the unedited model score locality, also hard locality;
    the others score the other kinds.
    """
    comparing = tuple((one.label, one.metric) for one in added if one.metric.reads_unedited)
    scoring = tuple((one.label, one.metric) for one in added if not one.metric.reads_unedited)
    return {kind: comparing if kind in LOCALITY_KINDS else scoring for kind in PROBE_KINDS}


def variant(registry: Registry, found: Found[EvalProtocol], spec: ProtocolChoice) -> ResolvedProtocol:
    """Return the protocol with the job's replacements; a variant if that changes anything.

    The names in a published protocol mean its own plugin's modules first.
    """
    own = found.offer.metrics
    every_kind = {kind: own.get(kind, ()) for kind in PROBE_KINDS if kind in own or kind != "hard-locality"}
    published = resolve_protocol(registry, found.offer.model_copy(update={"metrics": every_kind}), found.plugin)
    changed = replace(
        published,
        parts={
            part: _replaced(registry, module, getattr(spec, part), spec.settings)
            for part, module in published.parts.items()
        },
        metrics=_replaced_metrics(registry, published.metrics, spec),
    )
    return replace(changed, stated=as_variant(changed.minimal, published.minimal))


def resolve_protocol(registry: Registry, definition: EvalProtocol, near: str | None = None) -> ResolvedProtocol:
    """Find and validate the modules of a protocol; among offers of the same name, those of the plugin ``near``.

    Raises ``UserError`` for a module that is unknown, or has a wrong parameter.
    """

    def resolved(section: str, use: Use) -> ResolvedModule:
        return resolve(registry, section, registry.find(section, use.name, near), use.params)

    parts = {part: resolved(part, getattr(definition, part)) for part in PARTS}
    metrics = {kind: tuple(resolved("metric", use) for use in uses) for kind, uses in definition.metrics.items()}
    return ResolvedProtocol(definition, parts, metrics)


def make_protocol(registry: Registry, definition: EvalProtocol) -> ReadyProtocol:
    """Make the modules of a protocol; its definition then has every parameter resolved."""
    return resolve_protocol(registry, definition).make(registry)


def _with_examples(protocol: ResolvedProtocol, reader: CaseReader) -> ResolvedProtocol:
    """Give the examples of the dataset to a context that shows them; its parameters then contain them."""
    context = protocol.parts["context"]
    if not isinstance(context.params, ContextParams):
        return protocol
    needed = context.params.examples_needed()
    given = context.params.with_examples(reader.examples(needed) if needed else ())
    if given is context.params:
        return protocol
    # a plugin may have copied the parameters unchecked
    params = validated("context", context.found, given.model_dump(mode="json", exclude_defaults=True))
    return replace(protocol, parts={**protocol.parts, "context": replace(context, params=params)})


def _replaced(
    registry: Registry, module: ResolvedModule, name: str | None, settings: Mapping[str, Any]
) -> ResolvedModule:
    """Return the module called ``name``, or the protocol's own, with the job's settings for it."""
    found = registry.find(module.section, name) if name else module.found
    own = settings_for(settings, module.section, found.offer.names)
    if found != module.found:
        return resolve(registry, module.section, found, own)
    if not own:
        return module
    return replace(module, params=validated(module.section, found, {**module.minimal.params, **own}))


def _replaced_metrics(registry: Registry, published: ResolvedMetrics, spec: ProtocolChoice) -> ResolvedMetrics:
    """Return the metrics with the job's replacements: a metric that compares with the unedited model replaces those of
    locality, any other metric those of the other kinds.
    """
    asked = [_asked_metric(registry, name, spec.settings) for name in spec.metrics]
    compares = [bool(module.make().reads_unedited) for module in asked]
    metrics: dict[ProbeKind, tuple[ResolvedModule, ...]] = {}
    for kind, modules in published.items():
        fitting = zip(asked, compares, strict=True)
        replacement = tuple(module for module, comparing in fitting if comparing == (kind in LOCALITY_KINDS))
        metrics[kind] = replacement or tuple(_replaced(registry, one, None, spec.settings) for one in modules)
    return metrics


def _asked_metric(registry: Registry, name: str, settings: Mapping[str, Any]) -> ResolvedModule:
    found = registry.find("metric", name)
    return resolve(registry, "metric", found, settings_for(settings, "metric", found.offer.names))
