"""The choice of an editing method: one that a plugin offers, by name, or an object of the user's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wildcore.api.jobs import joined_settings, plugins
from wildcore.api.naming import errors_in_python
from wildcore.errors import Option, UserError
from wildcore.interfaces import Editor, Offer
from wildcore.jobs.build import UNREGISTERED, MadeEditor, find_editor, make_editor
from wildcore.jobs.modules import validated
from wildcore.jobs.spec import EditJob, names_used, refuse_unused_settings, settings_for
from wildcore.registry import Found

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

NEEDED = ("pin_resources", "prepare", "edit", "edit_each", "reset", "restore", "state")
"""What a run needs of an editor; ``wildcore.Editor`` has all of it except ``edit``."""


@dataclass(frozen=True)
class EditorChoice:
    """An editing method by name, EDITOR or EDITOR+TRANSFORM, and its settings as in ``--set``."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    as_published: bool = False


@errors_in_python
def editor(
    name: str, /, *, transform: Mapping[str, Any] | None = None, as_published: bool = False, **parameters: Any
) -> EditorChoice:
    """Choose an editing method, EDITOR or EDITOR+TRANSFORM, with its ``parameters`` (``wildcore describe editor NAME``).

    ``transform`` holds the parameters of the transforms: ``{"share": 0.4}``, or ``{"rect.share": 0.4}`` for one of several.
    With ``as_published`` the method runs like its published code (``--as-published``). Raises ``UserError`` for an unknown
    name or parameter, with the nearest known name, and for a value of the wrong type. Values that depend on the model, such as
    the layer, are checked when a model is given.
    """
    registry = plugins()
    offers = find_editor(registry, name)
    settings = joined_settings(
        {f"editor.{key}": value for key, value in parameters.items()},
        {f"transform.{key}": value for key, value in (transform or {}).items()},
    )
    refuse_unused_settings(settings, names_used(registry, [name]))
    _check_parameters(offers.editor, "editor", settings)
    for found in offers.transforms:
        _check_parameters(found, "transform", settings)
    return EditorChoice(name, settings, as_published)


def _check_parameters(found: Found[Offer[Any]], section: str, settings: Mapping[str, Any]) -> None:
    validated(section, found, settings_for(settings, section, found.offer.names))


def chosen(given: "EditorChoice | Editor | str") -> tuple[EditorChoice, MadeEditor | None]:
    """Return an editor as a choice. An object that no plugin offers gets a name that says so, and is returned too.

    Raises ``UserError`` if ``given`` is not an editor.
    """
    if isinstance(given, str):
        return editor(given), None
    if isinstance(given, EditorChoice):
        return given, None
    if isinstance(given, type):
        raise UserError(
            f"{given.__name__} is a class", Option("editor"), f"make an object of it: {given.__name__}(...)"
        )
    missing = [name for name in NEEDED if not hasattr(given, name)]
    if missing:
        raise UserError(
            f"{type(given).__name__} lacks {', '.join(missing)}",
            about=Option("editor"),
            way_out="let it inherit from wildcore.Editor, which has defaults for all but edit",
        )
    name = f"{UNREGISTERED}{type(given).__module__}.{type(given).__qualname__}"
    return EditorChoice(name), (given, {"name": name, "plugin": None, "params": _plain_attributes(given)})


def made(spec: EditJob, own: MadeEditor | None, model: "LoadedModel") -> MadeEditor:
    """Return the job's editor for ``model``, or the user's ``own``. Raises ``UserError`` for parameters that do not suit it."""
    return own or make_editor(plugins(), spec, model.shape)


def _plain_attributes(editor: Editor) -> dict[str, Any]:
    """Return the attributes of an object that are plain values; of its construction only these can be recorded."""
    attributes = getattr(editor, "__dict__", {})
    return {name: value for name, value in attributes.items() if isinstance(value, str | int | float | bool | None)}
