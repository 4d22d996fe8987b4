"""An option that takes one value is given once: click would use the last value and drop the others silently."""

from collections import Counter
from collections.abc import Sequence

import click


def require_given_once(context: click.Context, arguments: Sequence[str]) -> list[str]:
    """Raise ``UsageError`` if ``arguments`` give an option of the context's command twice that takes one value.

    Flags may be repeated, and so may options that are declared to take several values. Returns the arguments that are no
    options, such as the name of a sub-command with its own arguments. Returns nothing if the arguments cannot be parsed: the
    parser of the command then says why.
    """
    try:
        _, rest, order = context.command.make_parser(context).parse_args(args=list(arguments))
    except click.UsageError:
        return []
    for parameter, times in Counter(order).items():
        if times > 1 and _takes_one_value(parameter):
            name = max(parameter.opts, key=len)
            raise click.UsageError(f"{name} is given {times} times and takes one value; give it once", context)
    return rest


def require_given_once_within(parent: click.Context, command: click.Command, name: str, arguments: list[str]) -> None:
    """Do the same for ``command``, and for the sub-commands that its arguments name."""
    own = click.Context(command, parent=parent, info_name=name, resilient_parsing=True)
    rest = require_given_once(own, arguments)
    inner = command.get_command(own, rest[0]) if isinstance(command, click.Group) and rest else None
    if inner is not None:
        require_given_once_within(own, inner, rest[0], rest[1:])


def _takes_one_value(parameter: click.Parameter) -> bool:
    if not isinstance(parameter, click.Option):
        return False
    return not (parameter.multiple or parameter.count or parameter.is_flag)
