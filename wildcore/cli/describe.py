"""``wildcore describe``: what a named module does, its parameters, and its plugin."""

from shlex import quote
from typing import Any

import click
from rich.table import Table

from wildcore.cli.naming import COMMAND_LINE
from wildcore.errors import Option, UserError, render
from wildcore.interfaces import Offer
from wildcore.jobs.protocol_files import to_toml
from wildcore.jobs.protocols import resolve_protocol
from wildcore.params import DepartingParams, EditorParams
from wildcore.registry import OFFER_HOOKS, Registry
from wildcore.reporting.console import results_console, safe_text

KINDS = (*OFFER_HOOKS, "protocol")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.pass_obj
def describe(registry: Registry, kind: str, name: str) -> None:
    """Describe NAME: summary, parameters with defaults and meaning, presets, citation.

    A protocol is shown as a file that can be edited and given to eval --protocol-file. A model may also be a local folder or a
    hub name; its weights are not loaded.
    """
    if kind == "protocol":
        found = registry.find_protocol(name)
        click.echo(f"# from the plugin {found.plugin}")
        click.echo(to_toml(resolve_protocol(registry, found.offer).complete), nl=False)
    elif kind == "model":
        _print_model(registry, name)
    else:
        offered = registry.find(kind, name)
        _print_offer(kind, offered.offer, offered.plugin)


def _print_model(registry: Registry, name: str) -> None:
    from wildcore.jobs.describe import describe_model  # heavy

    try:
        found, console = describe_model(registry, name), results_console()
    except UserError as error:
        if error.about != Option("model", name):
            raise
        raise UserError(
            error.problem, about=name, way_out=error.way_out
        ) from error  # here the model is not named by an option
    brought = registry.called("model", name)
    if brought:
        console.print(
            safe_text(f"model {brought[0].offer.name} (plugin {brought[0].plugin}): {brought[0].offer.summary}")
        )
    else:
        console.print(safe_text(f"model {name} ({found.folder})"), soft_wrap=True)
    table = Table(show_header=False)
    for label, value in found.facts.items():
        table.add_row(label, safe_text(render(value, COMMAND_LINE)))
    console.print(table)
    for problem in found.problems:
        console.print(safe_text(f"Problem: {render(problem, COMMAND_LINE)}"), soft_wrap=True)
    if found.family_lines:
        click.echo(f"\n{found.family_lines}")
    if not found.problems:
        console.print(safe_text(f"Next: wildcore eval --model {quote(name)} --editor NAME"), soft_wrap=True)


def _print_offer(kind: str, offer: Offer[Any], plugin: str) -> None:
    console = results_console()
    console.print(safe_text(f"{kind} {offer.name} (plugin {plugin}): {offer.summary}"))
    if offer.cites:
        console.print(safe_text(f"From: {offer.cites}"))
    if not offer.params.model_fields:
        console.print("It has no parameters.")
        return
    table = Table("parameter", "type", "default", "meaning")
    for name, field in offer.params.model_fields.items():
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        meaning = " ".join((field.description or "").replace("``", "").split())
        table.add_row(safe_text(name), safe_text(_type(field.annotation)), safe_text(default), safe_text(meaning))
    console.print(table)
    console.print(safe_text(f"Set one with --set {kind}.PARAMETER=VALUE"))
    if issubclass(offer.params, DepartingParams):
        _print_departures(offer.params)
    if issubclass(offer.params, EditorParams):
        _print_presets(offer.params)


def _print_departures(params: type[DepartingParams]) -> None:
    console = results_console()
    if params.departures is None:
        console.print(
            "--as-published is refused: the plugin does not say how its published code differs from the default."
        )
        return
    if not params.departures:
        console.print("--as-published changes nothing: its published code does what is done by default.")
        return
    table = Table("parameter", "default", "published code", "reason", title="Where its published code differs")
    for one in params.departures:
        name = one.parameter if one.by_switch else f"{one.parameter} *"
        table.add_row(
            safe_text(name), safe_text(_value(one.paper)), safe_text(_value(one.published)), safe_text(one.reason)
        )
    console.print(table)
    console.print("--as-published sets these, except those that you set yourself.")
    if not all(one.by_switch for one in params.departures):
        console.print(
            "* Not set by it: it takes a file of yours, or is not offered. The manifest of a run names it if it differs."
        )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _print_presets(params: type[EditorParams]) -> None:
    if not params.presets:
        return
    table = Table("preset", "for", "values", title="Presets, used where the model's shape is theirs")
    for preset in params.presets:
        shape = preset.shape
        model = f"{shape.model_type}, {shape.layers} layers, width {shape.hidden_size}, vocabulary {shape.vocabulary}"
        table.add_row(
            preset.name, model, safe_text(", ".join(f"{key}={value}" for key, value in preset.values.items()))
        )
    results_console().print(table)
    results_console().print(
        "A preset holds published numbers for one model. How the published code works is chosen by --as-published."
    )


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
