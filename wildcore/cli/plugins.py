"""``wildcore plugins``: what is installed and what it offers."""

import click
from rich.table import Table

from wildcore.registry import Plugin, Registry
from wildcore.reporting.console import results_console, safe_text


@click.command("plugins")
@click.option("--broken", is_flag=True, help="Show only plugins set aside as broken, each with its traceback.")
@click.pass_obj
def plugins_command(registry: Registry, broken: bool) -> None:
    """List the installed plugins and what they offer."""
    if broken:
        _print_broken(registry)
        return
    table = Table("plugin", "package", "offers", title=None)
    for plugin in registry.plugins:
        table.add_row(
            safe_text(plugin.name),
            safe_text(f"{plugin.distribution} {plugin.version}"),
            safe_text(_offers(registry, plugin)),
        )
    results_console().print(table)


def _offers(registry: Registry, plugin: Plugin) -> str:
    if plugin.problem:
        return f"BROKEN: {plugin.problem}"
    listed = {
        kind: [found.offer.name for found in offers if found.plugin == plugin.name]
        for kind, offers in registry.offers.items()
    }
    listed["protocol"] = [found.offer.name for found in registry.protocols if found.plugin == plugin.name]
    listed["command"] = [name for name, found in registry.commands.items() if found.plugin == plugin.name]
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in listed.items() if names) or "nothing"


def _print_broken(registry: Registry) -> None:
    for plugin in registry.broken:
        click.echo(f"{plugin.name} ({plugin.distribution} {plugin.version}): {plugin.problem}\n{plugin.trace}")
    if not registry.broken:
        click.echo("No plugin is broken.")
