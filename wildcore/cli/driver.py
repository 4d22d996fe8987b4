"""The command group: plugins are loaded once, and user errors become one message."""

from collections.abc import Sequence
from typing import Any

import click

from wildcore.cli.shortcuts import COMMANDS, with_shortcuts
from wildcore.errors import UserError
from wildcore.interruption import INTERRUPTED, MESSAGE, interrupts_raised
from wildcore.registry import Registry, load_registry
from wildcore.reporting.console import printable


class Failure(click.ClickException):
    """A user's error: one message, exit code 2. Text quoted from a file is shown without markup and control characters."""

    exit_code = 2

    def format_message(self) -> str:
        """Return the message without characters that a terminal would interpret, except line ends."""
        return "\n".join(map(printable, self.message.splitlines()))


class Driver(click.Group):
    """The command group: loads plugins once, adds their commands, and turns user errors into one message."""

    def registry(self, context: click.Context) -> Registry:
        """Return the plugins; they are loaded at the first call."""
        if not isinstance(context.obj, Registry):
            chosen = context.params.get("plugins")
            context.obj = load_registry(_names(chosen), reserved=self.commands)
            _report_broken(context.obj, strict=bool(context.params.get("strict_plugins")))
        return context.obj

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, including those of plugins."""
        return sorted([*super().list_commands(ctx), *self._load(ctx).commands])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        registry = self._load(ctx)
        command = super().get_command(ctx, cmd_name) or registry.commands.get(cmd_name)
        return with_shortcuts(command, registry) if command and cmd_name in COMMANDS else command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with interrupts_raised():
                return super().invoke(ctx)
        except UserError as error:
            raise Failure(str(error)) from error
        except KeyboardInterrupt as interrupted:
            click.echo(str(interrupted) or MESSAGE, err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if type(error).__name__ != "OutOfMemoryError":
                raise
            raise Failure(f"out of memory: {error}; try a smaller --batch-size or --dtype bfloat16") from error

    def _load(self, ctx: click.Context) -> Registry:
        try:
            return self.registry(ctx)
        except UserError as error:
            raise Failure(str(error)) from error


def _names(chosen: str | None) -> Sequence[str] | None:
    return None if chosen is None else [name.strip() for name in chosen.split(",") if name.strip()]


def _report_broken(registry: Registry, strict: bool) -> None:
    for plugin in registry.broken:
        if strict:
            raise UserError(f"--strict-plugins: {plugin.warning}")
        click.echo(f"Warning: {plugin.warning}; set aside (wildcore plugins --broken shows more)", err=True)
