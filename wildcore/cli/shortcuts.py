"""Options that plugins add to ``eval`` and ``score``, each standing for a setting."""

import copy
from collections.abc import Iterator
from typing import Any

import click

from wildcore.help_pages import PLUGIN_OPTIONS, GroupedOption
from wildcore.interfaces import Shortcut
from wildcore.jobs.spec import parse_settings
from wildcore.registry import Registry

COMMANDS = ("eval", "score")


def with_shortcuts(command: click.Command, registry: Registry) -> click.Command:
    """Return ``command`` with the options that plugins add to it."""
    if not registry.shortcuts:
        return command
    extended = copy.copy(command)
    options = [
        GroupedOption(
            [_name(shortcut), shortcut.option],
            metavar=shortcut.metavar,
            help=shortcut.help,
            group=shortcut.group or PLUGIN_OPTIONS,
        )
        for shortcut in registry.shortcuts.values()
        if command.name == "eval" or not shortcut.sets.startswith("measurement.")
    ]
    extended.params = [*command.params, *options]
    return extended


def added_metrics(ctx: click.Context, registry: Registry, named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the metrics ``named`` and those that the given options ask for, each once."""
    asked = [shortcut.adds_metric for shortcut, _ in _given(ctx, registry) if shortcut.adds_metric]
    return tuple(dict.fromkeys([*named, *asked]))


def added_measurements(ctx: click.Context, registry: Registry) -> tuple[str, ...]:
    """Return the measurements that the given options ask for, each once."""
    asked = [shortcut.adds_measurement for shortcut, _ in _given(ctx, registry) if shortcut.adds_measurement]
    return tuple(dict.fromkeys(asked))


def settings(ctx: click.Context, registry: Registry) -> dict[str, Any]:
    """Return the settings of ``--set`` and of the given options. Raises ``UserError`` for a setting that is given twice."""
    pairs = [f"{shortcut.sets}={value}" for shortcut, value in _given(ctx, registry)]
    return parse_settings([*ctx.params["settings"], *pairs])


def any_given(ctx: click.Context, registry: Registry) -> bool:
    """Return whether an option that a plugin added was given."""
    return any(True for _ in _given(ctx, registry))


def _given(ctx: click.Context, registry: Registry) -> Iterator[tuple[Shortcut, str]]:
    for shortcut in registry.shortcuts.values():
        value = ctx.params.get(_name(shortcut))
        if value is not None:
            yield shortcut, value


def _name(shortcut: Shortcut) -> str:
    return "shortcut_" + shortcut.option.strip("-").replace("-", "_")
