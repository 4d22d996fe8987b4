"""From names and settings to objects: what the command line asks for becomes what the runner takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from wildcore.errors import UserError, nearest
from wildcore.interfaces import Editor, Environment, Metric, Offer, Transform
from wildcore.params import ContextParams, EditorParams, ModelShape, Params, build
from wildcore.protocols import Metrics, ReadyProtocol, as_variant
from wildcore.registry import OFFER_HOOKS, Found, Registry
from wildcore.schedules import ScheduleName
from wildcore.selection import Choice, Reader
from wildcore.types import PROBE_KINDS, EvalProtocol, ProbeKind, Record, Use

if TYPE_CHECKING:
    from wildcore.models import LoadedModel, ModelRequest

SECTIONS = tuple(kind for kind in OFFER_HOOKS if kind != "model")
PARTS = ("context", "generator", "truncator")
AND = "+"
"""Parts an editor from the transforms to apply to what it writes: EDITOR+TRANSFORM+TRANSFORM."""

TAKEN = "taken"
"""Where the record of an editor has what ``Editor.take`` returned."""


class JobSpec(Record):
    """One run as it was asked for.

    ``settings`` maps "section.parameter" or "section.name.parameter" to a value; ``own_protocols`` are those of files;
    ``patch`` is the file of a patch to judge, which ``editor`` made; ``added_metrics`` score besides the protocols' own;
    ``only_failures`` names the protocol of the failure filter; ``edits_per_update`` is None for what the schedule usually has.
    """

    model: str
    dataset: str
    editor: str
    patch: str | None = None
    protocols: tuple[str, ...]
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    trust_remote_code: bool = False
    own_protocols: tuple[EvalProtocol, ...] = ()
    context: str | None = None
    generator: str | None = None
    truncator: str | None = None
    metrics: tuple[str, ...] = ()
    added_metrics: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}
    where: Mapping[str, str] = {}
    limit: int | None = None
    sample: int | None = None
    skip_malformed: bool = False
    only_failures: str | None = None
    schedule: ScheduleName = "single"
    edits_per_update: int | None = None
    seed: int = 0
    batch_size: int = 32
    parallel: str = "auto"


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``section.parameter=value`` pairs; values are YAML scalars or lists. Raises ``UserError`` for any other form."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        parts = key.split(".")
        if not equals or len(parts) not in (2, 3) or not all(parts):
            raise UserError(f"--set {pair}: write --set SECTION.PARAMETER=VALUE, such as --set editor.layer=5")
        if parts[0] not in SECTIONS:
            raise UserError(f"--set {pair}: unknown section {parts[0]!r}; {nearest(parts[0], list(SECTIONS))}")
        if key in settings:
            raise UserError(f"--set {pair}: {key} is set twice")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {pair}: the value is not valid YAML: {' '.join(str(error).split())}") from error
    return settings


def check_names(settings: Mapping[str, Any], used: Mapping[str, set[str]]) -> None:
    """Refuse a setting of a section, or "section.name.parameter" of a name, that takes no part in the job."""
    for key in settings:
        section, *rest = key.split(".")
        if not used.get(section):
            raise UserError(f"--set {key}: no {section} takes part here; leave it away")
        if len(rest) == 2 and rest[0] not in used[section]:
            raise UserError(
                f"--set {key}: this run uses no {section} {rest[0]!r}; {nearest(rest[0], sorted(used[section]))}"
            )


def settings_for(settings: Mapping[str, Any], section: str, name: str) -> dict[str, Any]:
    """Return the settings that reach the module ``name``: those of its section, then those of its name."""
    shared, own = {}, {}
    for key, value in settings.items():
        parts = key.split(".")
        if parts[0] == section and len(parts) == 2:
            shared[parts[1]] = value
        elif parts[0] == section and parts[1] == name:
            own[parts[2]] = value
    return shared | own


def make(found: Found[Offer[Any]], section: str, settings: Mapping[str, Any]) -> tuple[Any, Params]:
    """Validate the settings of an offer and make it; returns the object and its resolved parameters."""
    params = build(found.offer.params, settings, f"{section} {found.offer.name} (plugin {found.plugin})")
    return found.offer.make(params), params


def identity(found: Found[Offer[Any]], params: Params) -> dict[str, Any]:
    """Return what a record says of a module: name, plugin, and every parameter resolved."""
    return {"name": found.offer.name, "plugin": found.plugin, "params": params.model_dump(mode="json")}


def model_request(registry: Registry, spec: JobSpec) -> "ModelRequest":
    """Say which model to load: one that a plugin brings, a local folder, or a hub name."""
    from wildcore.models import ModelRequest

    brought = any(spec.model in (f.offer.name, f"{f.plugin}/{f.offer.name}") for f in registry.offers["model"])
    folder = None
    if brought:
        source, _ = make(registry.find("model", spec.model), "model", {})
        folder = source.folder()
    return ModelRequest(
        name=spec.model,
        folder=folder,
        revision=spec.revision,
        dtype=spec.dtype,
        device=spec.device,
        device_map=spec.device_map,
        trust_remote_code=spec.trust_remote_code,
    )


def make_reader(registry: Registry, spec: JobSpec) -> tuple[Reader, dict[str, Any]]:
    """Make the reader of the job's dataset; returns it and what the record says of the dataset."""
    found = registry.find("dataset", spec.dataset)
    dataset, params = make(found, "dataset", settings_for(spec.settings, "dataset", found.offer.name))
    choice = Choice(
        where=spec.where, limit=spec.limit, sample=spec.sample, seed=spec.seed, skip_malformed=spec.skip_malformed
    )
    return Reader(spec.dataset, dataset, choice), identity(found, params)


@dataclass(frozen=True)
class EditorOffers:
    """What an editor's name stands for: the editor, and the transforms of what it writes, in the order of their use."""

    editor: Found[Offer[Editor]]
    transforms: tuple[Found[Offer[Transform]], ...]


def find_editor(registry: Registry, name: str) -> EditorOffers:
    """Look up EDITOR or EDITOR+TRANSFORM+...; each may be asked for as plugin/name.

    Raises ``UserError`` for a part that is unknown, offered by several plugins, or named twice.
    """
    editor, *transforms = name.split(AND)
    found = EditorOffers(
        registry.find("editor", editor), tuple(registry.find("transform", transform) for transform in transforms)
    )
    for number, transform in enumerate(found.transforms):
        if transform in found.transforms[:number]:
            raise UserError(f"editor {name}: the transform {transform.offer.name} is named twice; leave one out")
    return found


def names_used(editors: Sequence[str]) -> dict[str, set[str]]:
    """Return the names of the editors and transforms that take part, by section, as ``check_names`` takes them."""
    parts = [[_own_name(part) for part in editor.split(AND)] for editor in editors]
    return {"editor": {own[0] for own in parts}, "transform": {name for own in parts for name in own[1:]}}


def make_editor(registry: Registry, spec: JobSpec, shape: ModelShape) -> tuple[Editor, dict[str, Any]]:
    """Make the job's editor for a model of ``shape``, with its transforms; returns it and what the record says of it.

    Raises ``UserError`` for parameters that do not suit it, or transforms of a method that takes none.
    """
    offers = find_editor(registry, spec.editor)
    found = offers.editor
    where = f"editor {found.offer.name} (plugin {found.plugin})"
    params = build(found.offer.params, settings_for(spec.settings, "editor", found.offer.name), where)
    if isinstance(params, EditorParams):
        params = params.for_model(shape)
    editor: Editor = found.offer.make(params)
    said = identity(found, params)
    return editor, said | _add_transforms(editor, where, offers.transforms, spec.settings)


def settled(
    editor: Editor, model: "LoadedModel", environment: Environment, recorded: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Let an editor settle what it takes; returns what the record says of that, nothing where it takes nothing.

    What its transforms take is added, in their order.
    """
    taken = dict(editor.take(model, environment, recorded))
    of_transforms = [dict(transform.taken()) for transform in getattr(editor, "transforms", None) or ()]
    if any(of_transforms):
        taken["transforms"] = of_transforms
    return {TAKEN: taken} if taken else {}


def remake_editor(registry: Registry, said: Mapping[str, Any]) -> Editor:
    """Make the editor that a record speaks of, for reading its patches. Raises ``UserError`` where it is not installed."""
    editor: Editor = make(registry.find("editor", f"{said['plugin']}/{said['name']}"), "editor", said["params"])[0]
    return editor


def _add_transforms(
    editor: Editor, where: str, found: Sequence[Found[Offer[Transform]]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Let ``editor`` apply the transforms; returns what the record says of them, nothing where there are none."""
    if not found:
        return {}
    if getattr(editor, "transforms", None) is None:
        names = ", ".join(one.offer.name for one in found)
        raise UserError(
            f"{where}: a method that is not closed-form takes no transforms; leave {names} away, or choose a closed-form editor"
        )
    made = [make(one, "transform", settings_for(settings, "transform", one.offer.name)) for one in found]
    editor.transforms = tuple(transform for transform, _ in made)
    return {"transforms": [identity(one, params) for one, (_, params) in zip(found, made, strict=True)]}


def ready_protocols(registry: Registry, spec: JobSpec, editors: Sequence[str], reader: Reader) -> list[ReadyProtocol]:
    """Make the job's protocols, each with the modules that the job replaces in it.

    ``editors`` are all that run beside each other in the call; ``reader`` sets cases aside for contexts that show examples.
    Raises ``UserError`` for a setting that reaches nothing.
    """
    ready: dict[str, ReadyProtocol] = {}
    used: dict[str, set[str]] = {section: set() for section in SECTIONS}
    for name in spec.protocols:
        protocol = variant(registry, registry.find_protocol(name), spec)
        if protocol.name in ready:
            raise UserError(f"--protocol {name}: it is named twice")
        ready[protocol.name] = make_protocol(registry, _with_examples(registry, protocol, reader))
        for section, use in _uses(protocol):
            used[section].add(_own_name(use.name))
    used |= names_used(editors)
    used["dataset"] = {_own_name(spec.dataset)}
    used["metric"] |= {_own_name(metric) for metric in spec.added_metrics}
    check_names(spec.settings, used)
    return list(ready.values())


@dataclass(frozen=True)
class AddedMetric:
    """A metric that scores besides those of the protocols. ``module`` is what the record says of it."""

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
    """Say which probes added metrics score: those that compare with the unedited model score locality, the others the rest."""
    comparing = tuple((one.label, one.metric) for one in added if one.metric.reads_unedited)
    judging = tuple((one.label, one.metric) for one in added if not one.metric.reads_unedited)
    return {kind: comparing if kind == "locality" else judging for kind in PROBE_KINDS}


def _with_examples(registry: Registry, protocol: EvalProtocol, reader: Reader) -> EvalProtocol:
    """Let a context that shows examples of the dataset have them; its parameters then hold them."""
    found = registry.find("context", protocol.context.name)
    where = f"context {found.offer.name} (plugin {found.plugin})"
    params = build(found.offer.params, protocol.context.params, where)
    if not isinstance(params, ContextParams):
        return protocol
    needed = params.examples_needed()
    complete = params.with_examples(reader.examples(needed) if needed else ())
    use = Use(name=protocol.context.name, params=complete.model_dump(mode="json", exclude_defaults=True))
    return protocol.model_copy(update={"context": use})


def _own_name(name: str) -> str:
    return name.split("/")[-1]


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
    """Return a protocol with every parameter of its modules resolved. Raises ``UserError`` for one that is wrong."""

    def resolved(section: str, use: Use) -> Use:
        found = registry.find(section, use.name)
        params = build(found.offer.params, use.params, f"{section} {found.offer.name} (plugin {found.plugin})")
        return Use(name=use.name, params=params.model_dump(mode="json"))

    parts = {part: resolved(part, getattr(definition, part)) for part in PARTS}
    metrics = {kind: tuple(resolved("metric", use) for use in uses) for kind, uses in definition.metrics.items()}
    return definition.model_copy(update={**parts, "metrics": metrics})


def make_protocol(registry: Registry, definition: EvalProtocol) -> ReadyProtocol:
    """Make the modules of a protocol; its definition then holds every parameter resolved."""
    resolved = resolve_protocol(registry, definition)

    def made(section: str, use: Use) -> Any:
        return make(registry.find(section, use.name), section, use.params)[0]

    context, generator, truncator = (made(part, getattr(resolved, part)) for part in PARTS)

    def labelled(use: Use) -> tuple[str, Any]:
        found = registry.find("metric", use.name)
        metric, params = make(found, "metric", use.params)
        return _label(registry, found, params), metric

    metrics = {kind: tuple(labelled(use) for use in uses) for kind, uses in definition.metrics.items()}
    return ReadyProtocol(resolved, context, generator, truncator, metrics)


def _label(registry: Registry, found: Found[Offer[Any]], params: Params) -> str:
    """Return what a metric's scores are recorded under: its name, and the parameters that are not the default and matter."""
    values = params.model_dump(mode="json", exclude_defaults=True, exclude=set(params.without_effect))
    return str(Use(name=registry.unambiguous_name("metric", found), params=values))


def _replaced(registry: Registry, section: str, use: Use, name: str | None, spec: JobSpec) -> Use:
    found = registry.find(section, name or use.name)
    kept = use.params if registry.unambiguous_name(section, found) == use.name else {}
    settings = settings_for(spec.settings, section, found.offer.name)
    return _minimal(registry, section, found, {**kept, **settings})


def _replaced_metrics(registry: Registry, published: EvalProtocol, spec: JobSpec) -> dict[ProbeKind, tuple[Use, ...]]:
    """A metric that compares with the unedited model replaces those of locality, any other those of the other kinds."""
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
