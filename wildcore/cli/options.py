"""Options shared by several commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from wildcore.errors import UserError
from wildcore.types import FrozenData


def of_job(kind: type[FrozenData], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's options that are fields of a job."""
    return {name: value for name, value in options.items() if name in kind.model_fields}


def parse_where(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``tag=value`` pairs. Raises ``UserError`` for any other form."""
    where: dict[str, str] = {}
    for pair in pairs:
        tag, equals, value = pair.partition("=")
        if not equals or not tag:
            raise UserError(f"--where {pair}: write --where TAG=VALUE, such as --where source=NQ")
        if tag in where:
            raise UserError(f"--where {pair}: {tag} is given twice")
        where[tag] = value
    return where
