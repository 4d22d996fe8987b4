"""The help pages of the core's own commands: their examples are in ``examples.toml``, because they name installed methods."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files

import click

from wildcore.help_pages import Example, HelpfulCommand, HelpfulGroup


class CoreCommand(HelpfulCommand):
    """A command of the core; its examples are read when its help is shown."""

    def examples_of(self, ctx: click.Context) -> Sequence[Example]:
        """Return the examples in ``examples.toml`` under the command's name."""
        return core_examples().get(" ".join(_names(ctx)), ())


class CoreGroup(CoreCommand, HelpfulGroup):
    """A group of commands of the core."""

    command_class = CoreCommand


def core_examples() -> dict[str, list[Example]]:
    """Return the examples of each command of the core, by its name without ``wildcore``; "" is the name of that itself."""
    content = tomllib.loads(files("wildcore.cli").joinpath("examples.toml").read_text(encoding="utf-8"))
    return {name: [Example(**one) for one in listed] for name, listed in content.items()}


def _names(ctx: click.Context) -> list[str]:
    return [] if ctx.parent is None else [*_names(ctx.parent), str(ctx.info_name)]
