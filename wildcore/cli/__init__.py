"""The command line. One file for each command."""

from collections.abc import Sequence
from typing import Any

import click

from wildcore.cli.shortcuts import COMMANDS, with_shortcuts
from wildcore.errors import UserError
from wildcore.interruption import INTERRUPTED, MESSAGE, interrupts_raised
from wildcore.registry import Registry, load_registry
from wildcore.reporting.console import printable


class Failure(click.ClickException):
    """A user's error: one message, exit code 2. What it quotes of a file may hold anything, and is shown as plain text."""

    exit_code = 2

    def format_message(self) -> str:
        """Return the message without characters that a terminal would act upon, but for ends of lines."""
        return "\n".join(map(printable, self.message.splitlines()))


class Driver(click.Group):
    """The command group: loads plugins once, adds their commands, and turns user errors into one message."""

    def registry(self, context: click.Context) -> Registry:
        """Return the plugins, loaded at the first need."""
        if not isinstance(context.obj, Registry):
            chosen = context.params.get("plugins")
            context.obj = load_registry(_names(chosen), reserved=self.commands)
            _report_broken(context.obj, strict=bool(context.params.get("strict_plugins")))
        return context.obj

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, those of plugins too."""
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


@click.group(cls=Driver, context_settings={"auto_envvar_prefix": "WILDCORE", "help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wildcore")
@click.option("--plugins", metavar="A,B", help="Load only these plugins.")
@click.option("--strict-plugins", is_flag=True, help="Stop if an installed plugin is broken.")
@click.pass_context
def main(context: click.Context, plugins: str | None, strict_plugins: bool) -> None:
    """Find out whether a model edit really works."""


def _add_commands() -> None:
    from wildcore.cli.agreement import agreement
    from wildcore.cli.audit import audit_command
    from wildcore.cli.cache import cache_command
    from wildcore.cli.compare import compare
    from wildcore.cli.describe import describe
    from wildcore.cli.edit import apply_command, edit_command
    from wildcore.cli.eval import eval_command
    from wildcore.cli.plugins import plugins_command
    from wildcore.cli.prepare import prepare_command
    from wildcore.cli.score import score
    from wildcore.cli.show import show

    running = (eval_command, score, edit_command, apply_command, prepare_command)
    for command in (*running, cache_command, show, compare, agreement, audit_command, plugins_command, describe):
        main.add_command(command)


_add_commands()
