"""Describes what plugins offer, and finds a name among all kinds of offers."""

import difflib
from collections.abc import Mapping
from typing import Any

from wildcore.errors import UserError, command
from wildcore.interfaces import Offer
from wildcore.jobs.protocols import resolve_protocol
from wildcore.params import DepartingParams, EditorParams
from wildcore.registry import KINDS, OFFER_HOOKS, Found, Registry
from wildcore.types import EvalProtocol, FrozenData


class ParameterFacts(FrozenData):
    """A parameter. ``default`` is its value if it is not set (None too if it is ``required``), ``meaning`` what it is for."""

    name: str
    type: str
    required: bool
    default: Any
    meaning: str


class DepartureFacts(FrozenData):
    """One difference between a method's published code and the default. ``by_switch``: ``--as-published`` sets it."""

    parameter: str
    default: Any
    published: Any
    reason: str
    by_switch: bool


class PresetFacts(FrozenData):
    """Published values of parameters for one model, which is recognised by its shape."""

    name: str
    model_type: str
    layers: int
    hidden_size: int
    vocabulary: int
    values: Mapping[str, Any]


class ModelDescription(FrozenData):
    """A model. ``facts`` are texts by their names. ``problems`` say what prevents editing the model, and what to do.

    ``family_lines`` is the code of a plugin that adds the model's family (None: the family is known, or was not found).
    """

    folder: str
    facts: Mapping[str, str]
    problems: tuple[str, ...]
    family_lines: str | None


class Description(FrozenData):
    """What a name stands for.

    ``plugin`` is the plugin that offers it (None: a model that no plugin offers). ``departures`` is None if the plugin does not
    say how published code differs from the default. ``protocol`` is set for a protocol alone, with all its modules and
    parameters, and ``model`` for a model alone.
    """

    kind: str
    name: str
    plugin: str | None
    summary: str
    cites: str = ""
    aliases: tuple[str, ...] = ()
    parameters: tuple[ParameterFacts, ...] = ()
    departures: tuple[DepartureFacts, ...] | None = None
    presets: tuple[PresetFacts, ...] = ()
    protocol: EvalProtocol | None = None
    model: ModelDescription | None = None


def kinds_of(registry: Registry, name: str) -> list[str]:
    """Return the kinds of offers that are called ``name`` or ``plugin/name``, or were earlier, in the order of ``KINDS``.

    Raises ``UserError`` with the nearest names of all kinds if there is none.
    """
    kinds = [kind for kind in OFFER_HOOKS if registry.called(kind, name)]
    if any(name in (found.offer.name, f"{found.plugin}/{found.offer.name}") for found in registry.protocols):
        kinds.append("protocol")
    if not kinds:
        raise _unknown(registry, name)
    return kinds


def _unknown(registry: Registry, name: str) -> UserError:
    if name in KINDS:
        return UserError(f"{name} is a kind", way_out=f"also give a name: {command('describe', name, 'NAME')}")
    known: dict[str, list[str]] = {}
    for kind in KINDS:
        for one in registry.summaries(kind):
            known.setdefault(one, []).append(kind)
    near = [f"{one!r} ({' and '.join(known[one])})" for one in difflib.get_close_matches(name, known)]
    way_out = f"did you mean {' or '.join(near)}?" if near else f"all names are listed by: {command('plugins')}"
    return UserError(f"nothing is called {name!r}", way_out=way_out)


def describe_offer(kind: str, found: Found[Offer[Any]]) -> Description:
    """Return the description of an offer."""
    offer = found.offer
    return Description(
        kind=kind,
        name=offer.name,
        plugin=found.plugin,
        summary=offer.summary,
        cites=offer.cites,
        aliases=offer.aliases,
        parameters=tuple(_parameter(name, field) for name, field in offer.params.model_fields.items()),
        departures=_departures(offer.params),
        presets=_presets(offer.params),
    )


def describe_protocol(registry: Registry, name: str) -> Description:
    """Return the description of a protocol. Raises ``UserError`` for an unknown name."""
    found = registry.find_protocol(name)
    complete = resolve_protocol(registry, found.offer).complete
    return Description(
        kind="protocol", name=found.offer.name, plugin=found.plugin, summary=found.offer.summary, protocol=complete
    )


def _parameter(name: str, field: Any) -> ParameterFacts:
    return ParameterFacts(
        name=name,
        type=_type(field.annotation),
        required=field.is_required(),
        default=None if field.is_required() else field.get_default(call_default_factory=True),
        meaning=" ".join((field.description or "").replace("``", "").split()),
    )


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _departures(params: type[Any]) -> tuple[DepartureFacts, ...] | None:
    if not issubclass(params, DepartingParams) or params.departures is None:
        return None
    return tuple(
        DepartureFacts(
            parameter=one.parameter,
            default=one.paper,
            published=one.published,
            reason=one.reason,
            by_switch=one.by_switch,
        )
        for one in params.departures
    )


def _presets(params: type[Any]) -> tuple[PresetFacts, ...]:
    if not issubclass(params, EditorParams):
        return ()
    return tuple(
        PresetFacts(
            name=one.name,
            model_type=one.shape.model_type,
            layers=one.shape.layers,
            hidden_size=one.shape.hidden_size,
            vocabulary=one.shape.vocabulary,
            values=one.values,
        )
        for one in params.presets
    )
