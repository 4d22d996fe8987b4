"""The command group: plugins are loaded once, and user errors become one message."""

from collections.abc import Sequence
from typing import Any

import click

from wildcore.cli import system_errors
from wildcore.cli.given_once import require_given_once, require_given_once_within
from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.pages import CoreGroup
from wildcore.cli.shortcuts import COMMANDS, with_shortcuts
from wildcore.errors import UserError
from wildcore.guarded import seconds_allowed
from wildcore.help_pages import OF_PLUGINS, SECTIONS
from wildcore.home import expanded
from wildcore.interruption import INTERRUPTED, MESSAGE, interrupts_raised
from wildcore.registry import Plugin, Registry, load_registry
from wildcore.reporting.console import printable


class Failure(click.ClickException):
    """A user's error: one message, exit code 2. Text quoted from a file is shown without markup and control characters."""

    exit_code = 2

    def format_message(self) -> str:
        """Return the message without characters that a terminal would interpret, except line ends."""
        return "\n".join(map(printable, self.message.splitlines()))


class Driver(CoreGroup):
    """The command group: loads plugins once, adds their commands, and turns user errors into one message."""

    def registry(self, context: click.Context) -> Registry:
        """Return the plugins; they are loaded at the first call."""
        if not isinstance(context.obj, Registry):
            chosen = context.params.get("plugins")
            context.obj = load_registry(_names(chosen), reserved=self.commands, note=_note, last_words=_last_words)
            if not context.resilient_parsing:  # a shell that completes a word shows everything that is printed
                _report_broken(context.obj, strict=bool(context.params.get("strict_plugins")))
        return context.obj

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options that are given before the command. ``~`` is expanded in all arguments."""
        args = [_from_home(argument) for argument in args]
        if not ctx.resilient_parsing:
            require_given_once(ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, including those of plugins."""
        return sorted([*super().list_commands(ctx), *self._load(ctx).commands])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections, each with its summary."""
        found: dict[str, list[tuple[str, str]]] = {}
        listed = self.list_commands(ctx)
        room = formatter.width - max(map(len, listed)) - len("    ")
        for name in listed:
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                section = getattr(command, "section", OF_PLUGINS)
                found.setdefault(section, []).append((name, command.get_short_help_str(room)))
        for section in dict.fromkeys([*SECTIONS, *found]):
            if section in found:
                with formatter.section(section):
                    formatter.write_dl(found[section])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        registry = self._load(ctx)
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in registry.commands:
            command = registry.commands[cmd_name].offer
        return with_shortcuts(command, registry) if command and cmd_name in COMMANDS else command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command at the beginning of ``args``. If it does not exist, the error says which plugin is missing."""
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(error.format_message() + _missing_plugin(ctx, args[0]), ctx) from None
        if command is not None and not ctx.resilient_parsing:
            require_given_once_within(ctx, command, str(name), rest)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with interrupts_raised():
                return super().invoke(ctx)
        except UserError as error:
            raise Failure(error.rendered(COMMAND_LINE)) from error
        except KeyboardInterrupt as interrupted:
            click.echo(str(interrupted) or MESSAGE, err=True)
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if (said := system_errors.message(error)) is None:
                raise
            system_errors.discard_output()
            raise Failure(said) from error
        except Exception as error:
            if type(error).__name__ != "OutOfMemoryError":
                raise
            raise Failure(f"out of memory: {error}; try a smaller --batch-size or --dtype bfloat16") from error

    def _load(self, ctx: click.Context) -> Registry:
        try:
            return self.registry(ctx)
        except UserError as error:
            if ctx.resilient_parsing:
                return Registry()
            raise Failure(error.rendered(COMMAND_LINE)) from error


def _from_home(argument: str) -> str:
    """Return an argument with ``~`` expanded; of ``--out=~/runs`` a shell leaves it as it is."""
    option, equals, value = argument.partition("=")
    return f"{option}={expanded(value)}" if equals and option.startswith("--") else expanded(argument)


def _names(chosen: str | None) -> Sequence[str] | None:
    return None if chosen is None else [name.strip() for name in chosen.split(",") if name.strip()]


def _note(message: str) -> None:
    click.echo(f"Note: {printable(message)}", err=True)


def _last_words(plugin: Plugin) -> str:
    """Return the message of a process that is ended by a plugin whose loading cannot be stopped."""
    who = printable(f"plugin {plugin.name!r} ({plugin.distribution} {plugin.version})")
    problem = f"loading it takes longer than {seconds_allowed():g} s, and it cannot be stopped"
    return f"Error: {who}: {problem}; uninstall it, or name the plugins to load with --plugins\n"


def _missing_plugin(ctx: click.Context, command: str) -> str:
    """Return why a command does not exist, if known: its plugin was not chosen, or is broken."""
    found = (
        load_registry(last_words=_last_words).commands.get(command) if ctx.params.get("plugins") is not None else None
    )
    if found is not None:
        return f" The plugin {found.plugin!r} has it; add that plugin to --plugins."
    broken = ", ".join(plugin.name for plugin in ctx.obj.broken)
    return f" A plugin that is set aside as broken may have it: {broken} (wildcore plugins --broken)." if broken else ""


def _report_broken(registry: Registry, strict: bool) -> None:
    for plugin in registry.plugins:
        if plugin.printed:
            _note(f"plugin {plugin.name!r} ({plugin.distribution}) printed while it was loaded: {plugin.printed}")
    for plugin in registry.broken:
        if strict:
            raise UserError(f"--strict-plugins: {plugin.warning}")
        click.echo(f"Warning: {plugin.warning}; set aside (wildcore plugins --broken shows more)", err=True)
