"""What all calls share: the plugins, the job as the command line would specify it, and the model as loaded."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from wildcore.errors import Option, Setting, UserError, command, joined
from wildcore.jobs.spec import require_setting_name
from wildcore.registry import Registry, load_registry
from wildcore.types import EvalProtocol, FrozenData

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

Job = TypeVar("Job", bound=FrozenData)

Names = str | Sequence[str]
Protocols = str | EvalProtocol | Sequence[str | EvalProtocol]


def plugins(own: Sequence[EvalProtocol] = ()) -> Registry:
    """Return the offers of the installed plugins, and the user's ``own`` protocols. Raises ``UserError`` for a name in use."""
    installed = _installed()
    registry = replace(installed, protocols=list(installed.protocols))
    registry.add_protocols(own)
    return registry


@cache
def _installed() -> Registry:
    """Load the plugins once in a process. A broken plugin is set aside with a warning."""
    registry = load_registry()
    for plugin in registry.broken:
        warnings.warn(f"{plugin.warning}; set aside ({command('plugins', Option('broken'))} shows more)", stacklevel=2)
    return registry


def job(kind: type[Job], loaded: "LoadedModel | None" = None, /, **fields: Any) -> Job:
    """Return a job with these fields, on the model ``loaded`` if one is given. Raises ``UserError`` naming a wrong field."""
    if loaded is not None:
        request = loaded.request
        copied = ("revision", "dtype", "device", "device_map", "trust_remote_code", "merge_adapter")
        fields |= {name: getattr(request, name) for name in copied}
        fields["model"] = request.name
    try:
        return kind(**fields)
    except ValidationError as error:
        wrong = [
            (Option(".".join(map(str, at["loc"]))), f": {at['msg']} (got {at['input']!r})") for at in error.errors()
        ]
        raise UserError(joined(wrong, "; ")) from None


def names(given: Names) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given)


def protocol_names(given: Protocols) -> tuple[tuple[str, ...], tuple[EvalProtocol, ...]]:
    """Return the names of protocols, and those given as protocol objects. Raises ``UserError`` if there is none."""
    each = (given,) if isinstance(given, str | EvalProtocol) else tuple(given)
    if not each:
        raise UserError("name at least one (wildcore plugins lists them)", about=Option("protocols"))
    own = tuple(protocol for protocol in each if isinstance(protocol, EvalProtocol))
    return tuple(one.name if isinstance(one, EvalProtocol) else one for one in each), own


def joined_settings(*several: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return several mappings of settings as one. Raises ``UserError`` for a malformed name, or one that is set twice."""
    joined: dict[str, Any] = {}
    for settings in several:
        for key, value in (settings or {}).items():
            require_setting_name(key, key)
            if key in joined:
                raise UserError("it is set twice", Setting(key), "leave one of them out")
            joined[key] = value
    return joined
