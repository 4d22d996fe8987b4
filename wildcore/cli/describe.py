"""``wildcore describe``: what a named module does, its parameters, and its plugin."""

from shlex import quote
from typing import Any

import click
from rich.table import Table

from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.pages import CoreCommand
from wildcore.completion import complete_kinds_and_names, complete_names_of_kind
from wildcore.errors import Option, UserError, command, render, suggestion
from wildcore.help_pages import LOOK_UP
from wildcore.jobs.describe_offer import (
    DepartureFacts,
    Description,
    ModelDescription,
    PresetFacts,
    describe_offer,
    describe_protocol,
    kinds_of,
)
from wildcore.jobs.protocol_files import to_toml
from wildcore.json_documents import JsonDocument
from wildcore.params import DepartingParams
from wildcore.registry import KINDS, Registry
from wildcore.reporting.console import printable, results_console, safe_text

DOCUMENT = JsonDocument("describe", 1, "wildcore.jobs.describe_offer:Description")


@click.command(
    "describe",
    cls=CoreCommand,
    section=LOOK_UP,
    short_help="Describe an editor, protocol, model or other part.",
    documents=(DOCUMENT,),
)
@click.argument("kind", metavar="[KIND]", shell_complete=complete_kinds_and_names)
@click.argument("name", metavar="NAME", required=False, shell_complete=complete_names_of_kind)
@click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")
@click.pass_obj
def describe(registry: Registry, kind: str, name: str | None, as_json: bool) -> None:
    """Describe NAME: summary, parameters with defaults and meaning, presets, citation.

    KIND is needed only if several things have the same name: editor, transform, dataset, model, context, generator, truncator,
    metric, measurement, segmenter, executor, tracker or protocol. Without it the first in this order is described, and the
    others are named.

    A protocol is shown as a file that can be edited and given to eval --protocol-file. A model may also be a local folder or a
    hub name, after the KIND model; its weights are not loaded.
    """
    if name is None:
        kind, name = _found(registry, kind), kind
    if kind not in KINDS:
        raise UserError(f"unknown kind {kind!r}", way_out=suggestion(kind, list(KINDS)))
    described = _described(registry, kind, name)
    if as_json:
        click.echo(DOCUMENT.text(described))
    elif described.protocol is not None:
        click.echo(f"# from the plugin {described.plugin}")
        click.echo(to_toml(described.protocol), nl=False)
    elif described.model is not None:
        _print_model(described, described.model, name)
    else:
        _print_offer(registry, described)


def _found(registry: Registry, name: str) -> str:
    """Return the first kind that has ``name``, and note the commands for the others."""
    kind, *others = kinds_of(registry, name)
    for other in others:
        note = f"{name} is the name of a {other} too: {command('describe', other, name)}"
        click.echo(f"Note: {printable(note)}", err=True)
    return kind


def _described(registry: Registry, kind: str, name: str) -> Description:
    if kind == "protocol":
        return describe_protocol(registry, name)
    if kind == "model":
        return _described_model(registry, name)
    return describe_offer(kind, registry.find(kind, name))


def _described_model(registry: Registry, name: str) -> Description:
    from wildcore.jobs.describe import describe_model  # heavy

    try:
        found = describe_model(registry, name)
    except UserError as error:
        if error.about != Option("model", name):
            raise
        raise UserError(
            error.problem, about=name, way_out=error.way_out
        ) from error  # here the model is not named by an option
    offered = registry.called("model", name)
    return Description(
        kind="model",
        name=offered[0].offer.name if offered else name,
        plugin=offered[0].plugin if offered else None,
        summary=offered[0].offer.summary if offered else "",
        model=ModelDescription(
            folder=found.folder,
            facts={label: render(value, COMMAND_LINE) for label, value in found.facts.items()},
            problems=tuple(render(problem, COMMAND_LINE) for problem in found.problems),
            family_lines=found.family_lines,
        ),
    )


def _print_model(described: Description, model: ModelDescription, name: str) -> None:
    console = results_console()
    if described.plugin:
        console.print(safe_text(f"model {described.name} (plugin {described.plugin}): {described.summary}"))
    else:
        console.print(safe_text(f"model {described.name} ({model.folder})"), soft_wrap=True)
    table = Table(show_header=False)
    for label, value in model.facts.items():
        table.add_row(label, safe_text(value))
    console.print(table)
    for problem in model.problems:
        console.print(safe_text(f"Problem: {problem}"), soft_wrap=True)
    if model.family_lines:
        click.echo(f"\n{model.family_lines}")
    if not model.problems:
        console.print(safe_text(f"Next: wildcore eval --model {quote(name)} --editor NAME"), soft_wrap=True)


def _print_offer(registry: Registry, described: Description) -> None:
    console, kind = results_console(), described.kind
    console.print(safe_text(f"{kind} {described.name} (plugin {described.plugin}): {described.summary}"))
    if described.cites:
        console.print(safe_text(f"From: {described.cites}"))
    if not described.parameters:
        console.print("It has no parameters.")
        return
    table = Table("parameter", "type", "default", "meaning")
    for one in described.parameters:
        default = "required" if one.required else repr(one.default)
        table.add_row(safe_text(one.name), safe_text(one.type), safe_text(default), safe_text(one.meaning))
    console.print(table)
    console.print(safe_text(f"Set one with --set {kind}.PARAMETER=VALUE"))
    if issubclass(registry.find(kind, f"{described.plugin}/{described.name}").offer.params, DepartingParams):
        _print_departures(described.departures)
    _print_presets(described.presets)


def _print_departures(departures: tuple[DepartureFacts, ...] | None) -> None:
    console = results_console()
    if departures is None:
        console.print(
            "--as-published is refused: the plugin does not say how its published code differs from the default."
        )
        return
    if not departures:
        console.print("--as-published changes nothing: its published code does what is done by default.")
        return
    table = Table("parameter", "default", "published code", "reason", title="Where its published code differs")
    for one in departures:
        name = one.parameter if one.by_switch else f"{one.parameter} *"
        table.add_row(
            safe_text(name), safe_text(_value(one.default)), safe_text(_value(one.published)), safe_text(one.reason)
        )
    console.print(table)
    console.print("--as-published sets these, except those that you set yourself.")
    if not all(one.by_switch for one in departures):
        console.print(
            "* Not set by it: it takes a file of yours, or is not offered. The manifest of a run names it if it differs."
        )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _print_presets(presets: tuple[PresetFacts, ...]) -> None:
    if not presets:
        return
    table = Table("preset", "for", "values", title="Presets, used where the model's shape is theirs")
    for preset in presets:
        model = (
            f"{preset.model_type}, {preset.layers} layers, width {preset.hidden_size}, vocabulary {preset.vocabulary}"
        )
        table.add_row(
            preset.name, model, safe_text(", ".join(f"{key}={value}" for key, value in preset.values.items()))
        )
    results_console().print(table)
    results_console().print(
        "A preset holds published numbers for one model. How the published code works is chosen by --as-published."
    )
