"""Protocols with their modules, and variants of published ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wildcore.interfaces import Context, Generator, Metric, Truncator
from wildcore.types import PROBE_KINDS, EvalProtocol, ProbeKind, Use

Labelled = tuple[tuple[str, Metric], ...]
"""Metrics, each with the label under which its scores are recorded."""

Metrics = Mapping[ProbeKind, Labelled]
"""Metrics by probe kind."""


@dataclass(frozen=True)
class ReadyProtocol:
    """A protocol whose modules have been made."""

    definition: EvalProtocol
    context: Context
    generator: Generator
    truncator: Truncator
    metrics: Metrics
    sources: Mapping[str, str] = field(default_factory=dict)
    """The code of context, generator and truncator, as described by ``wildcore.jobs.protocols``; empty if no plugin offers
    them."""
    asks_in_chat: bool = False
    """Whether the context asks in the model's chat template."""

    @property
    def name(self) -> str:
        """The protocol's name, or the variant's."""
        return self.definition.name


def with_added(own: Metrics, added: Metrics) -> Metrics:
    """Return the metrics of a protocol followed by added ones. If both have a label, the protocol's own metric is kept.

    A protocol without metrics for hard locality uses those for locality.
    """
    every = {"hard-locality": own.get("locality", ()), **own}
    return {kind: _followed(every.get(kind, ()), added.get(kind, ())) for kind in PROBE_KINDS}


def _followed(own: Labelled, added: Labelled) -> Labelled:
    labels = {label for label, _ in own}
    return (*own, *((label, metric) for label, metric in added if label not in labels))


def as_variant(changed: EvalProtocol, published: EvalProtocol) -> EvalProtocol:
    """Return ``changed`` under its proper name: the published protocol if nothing differs, else a variant with its
    differences.
    """
    differences = tuple(_differences(changed, published))
    if not differences:
        return published
    name = f"{published.name}[{'; '.join(differences)}]"
    return changed.model_copy(update={"name": name, "variant_of": published.name, "differences": differences})


def _differences(changed: EvalProtocol, published: EvalProtocol) -> list[str]:
    found = [
        f"{part}: {getattr(changed, part)}"
        for part in ("context", "generator", "truncator")
        if getattr(changed, part) != getattr(published, part)
    ]
    kinds_by_metrics: dict[str, list[str]] = {}
    for kind in PROBE_KINDS:
        if changed.metrics.get(kind, ()) != published.metrics.get(kind, ()):
            kinds_by_metrics.setdefault(_listed(changed.metrics.get(kind, ())), []).append(kind)
    return found + [f"metric of {', '.join(kinds)}: {metrics}" for metrics, kinds in kinds_by_metrics.items()]


def _listed(uses: Sequence[Use]) -> str:
    return " and ".join(str(use) for use in uses) or "none"
