"""``wildcore describe``: what a named module is, its parameters, and where it comes from."""

from typing import Any

import click
from rich.table import Table

from wildcore.interfaces import Offer
from wildcore.params import EditorParams
from wildcore.protocol_assembly import resolve_protocol
from wildcore.protocol_files import to_toml
from wildcore.registry import OFFER_HOOKS, Registry
from wildcore.screen import out, plain

KINDS = (*OFFER_HOOKS, "protocol")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.pass_obj
def describe(registry: Registry, kind: str, name: str) -> None:
    """Show what NAME is: summary, parameters with defaults and meaning, presets, citation.

    A protocol is shown as a file that can be edited and given to eval --protocol-file.
    """
    if kind == "protocol":
        found = registry.find_protocol(name)
        click.echo(f"# from the plugin {found.plugin}")
        click.echo(to_toml(resolve_protocol(registry, found.offer)), nl=False)
    else:
        offered = registry.find(kind, name)
        _print_offer(kind, offered.offer, offered.plugin)


def _print_offer(kind: str, offer: Offer[Any], plugin: str) -> None:
    console = out()
    console.print(plain(f"{kind} {offer.name} (plugin {plugin}): {offer.summary}"))
    if offer.cites:
        console.print(plain(f"From: {offer.cites}"))
    if not offer.params.model_fields:
        console.print("It has no parameters.")
        return
    table = Table("parameter", "type", "default", "meaning")
    for name, field in offer.params.model_fields.items():
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        meaning = " ".join((field.description or "").replace("``", "").split())
        table.add_row(plain(name), plain(_type(field.annotation)), plain(default), plain(meaning))
    console.print(table)
    console.print(plain(f"Set one with --set {kind}.PARAMETER=VALUE"))
    if issubclass(offer.params, EditorParams):
        _print_presets(offer.params)


def _print_presets(params: type[EditorParams]) -> None:
    if not params.presets:
        return
    table = Table("preset", "for", "values", title="Published hyper-parameters, used where the model's shape is theirs")
    for preset in params.presets:
        shape = preset.shape
        model = f"{shape.model_type}, {shape.layers} layers, width {shape.hidden_size}, vocabulary {shape.vocabulary}"
        table.add_row(preset.name, model, plain(", ".join(f"{key}={value}" for key, value in preset.values.items())))
    out().print(table)


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
