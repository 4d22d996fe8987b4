"""``wildcore edit``: facts written into a patch file; ``wildcore apply``: patch files made into a model folder."""

from pathlib import Path
from shlex import quote
from typing import Any

import click

from wildcore.assembly import EMBEDDED_MODEL, JobSpec, find_editor, parse_settings
from wildcore.cli.eval import eval_command
from wildcore.errors import UserError
from wildcore.registry import Registry
from wildcore.screen import Reporter, out, plain

MODEL_OPTIONS = ("model", "revision", "device", "device_map", "trust_remote_code", "quiet")
Place = click.Path(path_type=Path)


@click.command("edit")
@click.option("--editor", required=True, metavar="NAME", help="Editing method, or METHOD+TRANSFORM.")
@click.option("--edits", required=True, type=Place, help="Table of facts: prompt, target, and subject where needed.")
@click.option("--out", "destination", required=True, type=Place, help="Patch file to write.")
@click.pass_context
def edit_command(ctx: click.Context, /, **options: Any) -> None:
    """Write all facts of a table into one patch of a model. The model itself stays as it is."""
    registry: Registry = ctx.obj
    find_editor(registry, options["editor"])
    from wildcore.editing import make_patch  # heavy: only once the name is known to be right

    spec = _spec(options, editor=options["editor"], settings=parse_settings(options["settings"]))
    patch = make_patch(registry, spec, options["edits"], options["destination"], Reporter(options["quiet"]))
    facts, console, file = patch.describe(), out(), options["destination"]
    if "change_norm" in facts:
        changed = f"{', '.join(facts['modules'])}; Frobenius norm of the change {facts['change_norm']:.4g}"
        console.print(plain(f"Changed: {changed}"))
    console.print(plain(f"Patch: {file}"))
    model = "" if spec.model == EMBEDDED_MODEL else f" --model {quote(spec.model)}"
    ways = [f"wildcore eval --patch {quote(str(file))}{model}"]
    if "change_norm" in facts:
        ways.append(f"wildcore apply {quote(str(file))}{model} --out DIR")
    console.print(plain(f"Next: {', or '.join(ways)}"), soft_wrap=True)


@click.command("apply")
@click.argument("patches", type=Place, nargs=-1, required=True)
@click.option("--out", "destination", required=True, type=Place, help="Model folder to write.")
@click.option(
    "--merge", is_flag=True, help="Apply several patches, each made for the model as it is; their changes add up."
)
@click.pass_context
def apply_command(ctx: click.Context, /, **options: Any) -> None:
    """Write a model with PATCHES in it as an ordinary model folder."""
    if len(options["patches"]) > 1 and not options["merge"]:
        raise UserError("several patches are applied only with --merge: each was made for the model without the others")
    from wildcore.editing import apply_patches  # heavy

    apply_patches(ctx.obj, _spec(options), options["patches"], options["destination"], Reporter(options["quiet"]))
    out().print(plain(f"Model: {options['destination']}"))


edit_command.params += [o for o in eval_command.params if o.name in (*MODEL_OPTIONS, "dtype", "seed", "settings")]
apply_command.params += [option for option in eval_command.params if option.name in MODEL_OPTIONS]


def _spec(options: dict[str, Any], **more: Any) -> JobSpec:
    chosen = {name: value for name, value in options.items() if name in JobSpec.model_fields}
    return JobSpec(**{"dataset": "", "editor": "", "protocols": (), **chosen, **more})
