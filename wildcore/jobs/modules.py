"""Modules as a job uses them: offers of plugins that are found and validated once and then passed on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wildcore.errors import Module
from wildcore.interfaces import Offer
from wildcore.params import Params, build
from wildcore.registry import Found, Registry
from wildcore.types import Use


@dataclass(frozen=True)
class ResolvedModule:
    """An offer of a plugin, with validated parameters.

    ``section`` is its kind, such as "metric". ``name`` is the offer's own name, or ``plugin/name`` if several plugins have it.
    """

    section: str
    name: str
    found: Found[Offer[Any]]
    params: Params

    @property
    def minimal(self) -> Use:
        """The module with only the parameters that differ from their defaults, so that equal uses compare equal."""
        return Use(name=self.name, params=self.params.model_dump(mode="json", exclude_defaults=True))

    @property
    def complete(self) -> Use:
        """The module with every parameter."""
        return Use(name=self.name, params=self.params.model_dump(mode="json"))

    @property
    def label(self) -> str:
        """The label of a metric's scores: its name, and the parameters that differ from the default and affect the result."""
        ignored = set(self.params.without_effect)
        return str(
            Use(name=self.name, params=self.params.model_dump(mode="json", exclude_defaults=True, exclude=ignored))
        )

    @property
    def identity(self) -> dict[str, Any]:
        """The description of the module for the manifest: name, plugin, and every parameter."""
        return identity(self.found, self.params)

    def make(self) -> Any:
        """Return a new object of the offer."""
        return self.found.offer.make(self.params)


def resolve(registry: Registry, section: str, found: Found[Offer[Any]], settings: Mapping[str, Any]) -> ResolvedModule:
    """Validate the settings of an offer. Raises ``UserError`` naming the parameter at fault."""
    return ResolvedModule(
        section, registry.unambiguous_name(section, found), found, validated(section, found, settings)
    )


def validated(section: str, found: Found[Offer[Any]], settings: Mapping[str, Any]) -> Params:
    """Return the settings as parameters of an offer. Raises ``UserError`` naming the parameter at fault."""
    return build(found.offer.params, settings, place_of(section, found))


def place_of(section: str, found: Found[Offer[Any]]) -> Module:
    """Return the name of an offer in messages."""
    return Module(section, found.offer.name, found.plugin)


def identity(found: Found[Offer[Any]], params: Params) -> dict[str, Any]:
    """Return the description of a module for the manifest: name, plugin, and every parameter."""
    return {"name": found.offer.name, "plugin": found.plugin, "params": params.model_dump(mode="json")}
