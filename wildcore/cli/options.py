"""Options shared by several commands."""

from collections.abc import Sequence

from wildcore.errors import UserError


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
