"""From names and settings to objects: the model, the reader of a dataset, the editor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wildcore.datasets.selection import CaseFilter, CaseReader
from wildcore.defaults import MEASUREMENTS, WILD
from wildcore.errors import Module, Option, Setting, UserError
from wildcore.evaluation.judging import JudgeAt
from wildcore.interfaces import RESOURCES, Editor, Environment, Offer, Patch, Segmenter, Transform
from wildcore.jobs.modules import identity, place_of, validated
from wildcore.jobs.spec import (
    TRANSFORM_SEPARATOR,
    CaseChoice,
    EditorChoice,
    JobSpec,
    ModelChoice,
    Selection,
    settings_for,
)
from wildcore.params import DepartingParams, EditorParams, ModelShape, Params
from wildcore.registry import Found, Registry

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel, ModelRequest
    from wildcore.patches.files import PatchFile

MadeEditor = tuple[Editor, dict[str, Any]]
"""An editor, and its description for the manifest."""

NO_MEASUREMENTS = "none"
"""Stands for no measurement at all."""

WILD_OR_FIRST = ""
"""Selects the protocol "wild" for the failure filter, or the first protocol if "wild" is not used."""

UNREGISTERED = "unregistered: "
"""Prefix of the name of an editor that is a Python object and that no plugin offers."""

AS_PUBLISHED = "as_published"
"""Key in an editor's description that says whether it ran like its published code: true, or the parameters that differ."""


def filter_protocol(named: str | None, protocols: Sequence[str]) -> str | None:
    """Return the protocol of the failure filter (None: no filter); ``named`` may be ``WILD_OR_FIRST``."""
    if named != WILD_OR_FIRST:
        return named
    return WILD if WILD in protocols else protocols[0]


def chosen_measurements(
    registry: Registry,
    schedule: str,
    judge_at: str,
    named: Sequence[str],
    added: Sequence[str] = (),
    patch: bool = False,
) -> tuple[str, ...]:
    """Return the measurements of a job: those ``named`` (``NO_MEASUREMENTS``: none), or else the usual ones, and those
    ``added``, each once.

    The usual ones are made in sequences, unless each edit has a judging point of its own. Others are made of an existing
    ``patch`` too. Raises ``UserError`` for other edits, which are not measured.
    """
    if NO_MEASUREMENTS in named and len(set(named)) > 1:
        raise UserError(f"{NO_MEASUREMENTS} cannot be combined with others", about=Option("measurements"))
    asked = [name for name in named if name != NO_MEASUREMENTS]
    if (asked or added) and schedule != "sequential" and not patch:
        raise UserError(
            "a model is measured at the judging points of a sequence, or under a patch",
            about=Option("measurements", (*asked, *added)[0]),
            way_out=("leave it out, or choose ", Option("schedule", "sequential")),
        )
    if not named and schedule == "sequential" and JudgeAt.parse(judge_at).form != "each":
        asked = [name for name in MEASUREMENTS if registry.called("measurement", name)]
    return tuple(dict.fromkeys([*asked, *added]))


def require_offered(registry: Registry, spec: JobSpec) -> None:
    """Raise ``UserError`` unless the dataset, if one is named, every protocol and every measurement of the job are offered."""
    if spec.dataset:
        registry.find("dataset", spec.dataset)
    for measurement in spec.measurements:
        registry.find("measurement", measurement)
    for protocol in (*spec.protocols, *([spec.only_failures] if spec.only_failures else [])):
        registry.find_protocol(protocol)


def make(found: Found[Offer[Any]], section: str, settings: Mapping[str, Any]) -> tuple[Any, Params]:
    """Validate the settings of an offer and make its object; return the object and its resolved parameters."""
    params = validated(section, found, settings)
    return found.offer.make(params), params


def with_later_parameters(registry: Registry, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's recorded identity in the terms of today: completed with the defaults of parameters that were added after
    the run was started, and with the present names of its modules.
    """
    editor = _filled(registry, "editor", recorded["editor"])
    if "transforms" in editor:
        editor["transforms"] = [_filled(registry, "transform", one) for one in editor["transforms"]]
    today = {"editor": editor, "dataset": _filled(registry, "dataset", recorded["dataset"])}
    if "protocols" in recorded:
        today["protocols"] = {name: _protocol_filled(registry, one) for name, one in recorded["protocols"].items()}
    return {**recorded, **today}


def _protocol_filled(registry: Registry, modules: Mapping[str, Any]) -> dict[str, Any]:
    parts = {part: _filled(registry, part, modules[part]) for part in ("context", "generator", "truncator")}
    metrics = {kind: [_filled(registry, "metric", use) for use in uses] for kind, uses in modules["metrics"].items()}
    return {**modules, **parts, "metrics": metrics}


def _filled(registry: Registry, section: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module's description with its parameters completed and its present name; unchanged if the module is not
    installed.
    """
    name = f"{said['plugin']}/{said['name']}" if "plugin" in said else said["name"]
    try:
        found = registry.find(section, name)
    except UserError:
        return dict(said)
    named = {}
    if name not in (found.offer.name, f"{found.plugin}/{found.offer.name}"):
        named = {"name": found.offer.name} | ({"plugin": found.plugin} if "plugin" in said else {})
    params = found.offer.params.model_construct().model_dump(mode="json") | said.get("params", {})
    return {**said, **named, "params": params}


def model_request(registry: Registry, spec: ModelChoice) -> "ModelRequest":
    """Return which model to load: one bundled with a plugin, a local folder, or a hub name."""
    from wildcore.models.loaded import ModelRequest

    folder = None
    if registry.called("model", spec.model):
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
        merge_adapter=spec.merge_adapter,
    )


def segmenters(registry: Registry) -> Callable[[str], Segmenter]:
    """Return a function that makes the segmenter of a name. It raises ``UserError`` for one that no plugin offers."""

    def made(name: str) -> Segmenter:
        segmenter: Segmenter = make(registry.find("segmenter", name), "segmenter", {})[0]
        return segmenter

    return made


def make_reader(registry: Registry, spec: CaseChoice) -> tuple[CaseReader, dict[str, Any]]:
    """Return the reader of the job's dataset, and the dataset's description for the manifest."""
    found = registry.find("dataset", spec.dataset)
    dataset, params = make(found, "dataset", settings_for(spec.settings, "dataset", found.offer.names))
    return CaseReader(spec.dataset, dataset, choice_of(spec)), identity(found, params)


def choice_of(spec: Selection) -> CaseFilter:
    """Return which cases a job asks for."""
    return CaseFilter(
        where=spec.where,
        limit=spec.limit,
        sample=spec.sample,
        seed=spec.sample_seed,
        skip_malformed=spec.skip_malformed,
    )


@dataclass(frozen=True)
class EditorOffers:
    """The offers that an editor's name stands for: the editor, and its transforms in the order in which they are applied."""

    editor: Found[Offer[Editor]]
    transforms: tuple[Found[Offer[Transform]], ...]


def find_editor(registry: Registry, name: str) -> EditorOffers:
    """Look up EDITOR or EDITOR+TRANSFORM+...; each part may be given as plugin/name.

    Raises ``UserError`` for a part that is unknown, offered by several plugins, or named twice.
    """
    if name.startswith(UNREGISTERED):
        raise UserError(
            "no plugin offers it, only the Python program that made it has it, so it cannot be found by "
            "name and its run cannot be resumed",
            about=f"editor {name}",
            way_out="run it again from there, or offer the class in a plugin",
        )
    editor, *transforms = name.split(TRANSFORM_SEPARATOR)
    found = EditorOffers(
        registry.find("editor", editor), tuple(registry.find("transform", transform) for transform in transforms)
    )
    for number, transform in enumerate(found.transforms):
        if transform in found.transforms[:number]:
            raise UserError(f"the transform {transform.offer.name} is named twice", f"editor {name}", "leave one out")
    return found


def make_editor(registry: Registry, spec: EditorChoice, shape: ModelShape) -> MadeEditor:
    """Return the job's editor for a model of ``shape``, with its transforms, and its description for the manifest.

    Raises ``UserError`` for parameters that do not suit it, for transforms of a method that takes none, and for a job as
    published with an editor that does not say how its published code differs.
    """
    offers = find_editor(registry, spec.editor)
    found = offers.editor
    where = place_of("editor", found)
    params = validated("editor", found, settings_for(spec.settings, "editor", found.offer.names))
    if spec.as_published:
        params = _as_published(params, where)
    if isinstance(params, EditorParams):
        params = params.for_model(shape)
    editor: Editor = found.offer.make(params)
    said = identity(found, params)
    if spec.as_published:
        said[AS_PUBLISHED] = _what_differs(params)
    return editor, said | _add_transforms(editor, where, offers.transforms, spec)


def _as_published(params: Params, where: Module) -> DepartingParams:
    """Return the parameters set as published. Raises ``UserError`` if the plugin does not say how the published code differs."""
    if not isinstance(params, DepartingParams) or params.departures is None:
        switch, set_one = Option("as_published", True), Setting(f"{where.kind}.PARAMETER", "VALUE")
        raise UserError(
            (where, " does not say how its published code differs from the default"),
            about=switch,
            way_out=("leave ", switch, " out, and set its parameters one by one (", set_one, ")"),
        )
    return params.as_published()


def _what_differs(params: Params) -> Literal[True] | dict[str, list[str]]:
    """Return for the manifest true if nothing differs from the published code, else what does."""
    differs = params.not_as_published() if isinstance(params, DepartingParams) else []
    return {"except": differs} if differs else True


def name_in_words(editor: Mapping[str, Any]) -> str:
    """Return an editor's name from its description in a manifest, with its transforms and whether they ran as published."""
    parts = [editor, *editor.get("transforms", ())]
    name = TRANSFORM_SEPARATOR.join(part["name"] for part in parts)
    if AS_PUBLISHED not in editor:
        return name
    differs = list(_differences_of(editor))
    for part in parts[1:]:
        differs += [f"{part['name']}.{parameter}" for parameter in _differences_of(part)]
    return f"{name} (as published{', except ' + ', '.join(differs) if differs else ''})"


def _differences_of(said: Mapping[str, Any]) -> Sequence[str]:
    found = said.get(AS_PUBLISHED)
    return found.get("except", ()) if isinstance(found, Mapping) else ()


def pin_resources(
    editor: Editor, model: "LoadedModel", environment: Environment, recorded: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Let an editor pin its resources (``Editor.pin_resources``) and return its description of them; empty if it has none.

    The resources of its transforms are added, in their order.
    """
    resources = dict(editor.pin_resources(model, environment, recorded))
    of_transforms = [dict(transform.pinned_resources()) for transform in getattr(editor, "transforms", None) or ()]
    if any(of_transforms):
        resources["transforms"] = of_transforms
    return {RESOURCES: resources} if resources else {}


def remake_editor(registry: Registry, said: Mapping[str, Any]) -> Editor:
    """Make the editor that a manifest describes, for loading its patches. Raises ``UserError`` if it is not installed."""
    editor: Editor = make(registry.find("editor", f"{said.get('plugin')}/{said['name']}"), "editor", said["params"])[0]
    return editor


def read_back(registry: Registry, file: "PatchFile", model: "LoadedModel") -> Patch:
    """Return the patch in ``file`` for ``model``. The editor that made it is needed only if it is not a change of weights.

    Raises ``UserError`` if that editor is not installed, or cannot load it.
    """
    if file.manifest.facts is None:
        return file.patch(model, None)
    from wildcore.patches.files import editor_read_errors  # heavy

    with editor_read_errors(file.path, "make the patch again"):
        editor = remake_editor(registry, file.manifest.editor)
    return file.patch(model, editor)


def _add_transforms(
    editor: Editor, where: Module, found: Sequence[Found[Offer[Transform]]], spec: EditorChoice
) -> dict[str, Any]:
    """Give ``editor`` its transforms; return their description for the manifest, empty if there are none."""
    if not found:
        return {}
    if getattr(editor, "transforms", None) is None:
        names = ", ".join(one.offer.name for one in found)
        raise UserError(
            "a method that is not closed-form takes no transforms",
            about=where,
            way_out=f"leave {names} out, or choose a closed-form editor",
        )
    made, said = [], []
    for one in found:
        params = validated("transform", one, settings_for(spec.settings, "transform", one.offer.names))
        if spec.as_published:
            params = _as_published(params, place_of("transform", one))
        made.append(one.offer.make(params))
        said.append(identity(one, params) | ({AS_PUBLISHED: _what_differs(params)} if spec.as_published else {}))
    editor.transforms = tuple(made)
    return {"transforms": said}
