"""``wildcore plugins``: what is installed and what it offers."""

from collections.abc import Iterator, Mapping

import click
from rich.table import Table

from wildcore.cli.pages import CoreCommand
from wildcore.help_pages import LOOK_UP
from wildcore.json_documents import JsonDocument
from wildcore.registry import Plugin, Registry
from wildcore.reporting.console import results_console, safe_text
from wildcore.types import FrozenData

DOCUMENT = JsonDocument("plugins", 1, "wildcore.cli.plugins:PluginList")


class ListedPlugin(FrozenData):
    """An installed plugin. ``offers`` maps each kind, such as "editor" or "command", to the names that the plugin offers.

    ``problem`` and ``traceback`` say why a broken plugin was set aside (None: it was loaded).
    """

    name: str
    package: str
    version: str
    offers: Mapping[str, tuple[str, ...]]
    problem: str | None
    traceback: str | None


class PluginList(FrozenData):
    """The installed plugins by name, or those that are broken."""

    plugins: tuple[ListedPlugin, ...]


@click.command(
    "plugins",
    cls=CoreCommand,
    section=LOOK_UP,
    short_help="List the installed plugins and what they offer.",
    documents=(DOCUMENT,),
)
@click.option("--broken", is_flag=True, help="Show only plugins set aside as broken, each with its traceback.")
@click.option("--json", "as_json", is_flag=True, help="Print the plugins as JSON.")
@click.pass_obj
def plugins_command(registry: Registry, broken: bool, as_json: bool) -> None:
    """List the installed plugins and what they offer."""
    listed = [_listed(registry, plugin) for plugin in (registry.broken if broken else registry.plugins)]
    if as_json:
        click.echo(DOCUMENT.text(PluginList(plugins=tuple(listed))))
    elif broken:
        _print_broken(listed)
    else:
        table = Table("plugin", "package", "offers", title=None)
        for one in listed:
            table.add_row(safe_text(one.name), safe_text(f"{one.package} {one.version}"), safe_text(_in_words(one)))
        results_console().print(table)


def _listed(registry: Registry, plugin: Plugin) -> ListedPlugin:
    return ListedPlugin(
        name=plugin.name,
        package=plugin.distribution,
        version=plugin.version,
        offers=dict(_offers(registry, plugin)),
        problem=plugin.problem,
        traceback=plugin.trace,
    )


def _offers(registry: Registry, plugin: Plugin) -> Iterator[tuple[str, tuple[str, ...]]]:
    listed = {
        kind: [found.offer.name for found in offers if found.plugin == plugin.name]
        for kind, offers in registry.offers.items()
    }
    listed["protocol"] = [found.offer.name for found in registry.protocols if found.plugin == plugin.name]
    listed["command"] = [name for name, found in registry.commands.items() if found.plugin == plugin.name]
    return ((kind, tuple(names)) for kind, names in listed.items() if names)


def _in_words(plugin: ListedPlugin) -> str:
    if plugin.problem:
        return f"BROKEN: {plugin.problem}"
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in plugin.offers.items()) or "nothing"


def _print_broken(plugins: list[ListedPlugin]) -> None:
    for plugin in plugins:
        click.echo(f"{plugin.name} ({plugin.package} {plugin.version}): {plugin.problem}\n{plugin.traceback}")
    if not plugins:
        click.echo("No plugin is broken.")
