"""``wildcore edit`` writes facts into a patch file; ``wildcore apply`` writes a model folder with patches applied."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import click
from rich.console import Console

from wildcore.cli.exit_codes import ALL_REFUSED
from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.options import (
    AS_PUBLISHED,
    DEVICE,
    DEVICE_MAP,
    DTYPE,
    MERGE_ADAPTER,
    MODEL,
    QUIET,
    REVISION,
    SEED,
    SETTINGS,
    SKIP_MALFORMED,
    TARGET_SEPARATOR,
    THREADS,
    TRACE,
    TRUST_REMOTE_CODE,
    of_job,
    with_options,
)
from wildcore.cli.pages import CoreCommand
from wildcore.cli.startup import torch_loaded
from wildcore.completion import complete_editors
from wildcore.defaults import EMBEDDED_MODEL
from wildcore.errors import UserError
from wildcore.help_pages import DATA, EDIT
from wildcore.jobs.build import find_editor
from wildcore.jobs.spec import EditJob, ModelChoice, parse_settings
from wildcore.model_files import MODEL_CARD
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter, results_console, safe_text
from wildcore.types import Malformed

Place = click.Path(path_type=Path)


@click.command(
    "edit",
    cls=CoreCommand,
    section=EDIT,
    short_help="Write facts into a patch file.",
    groups={DATA: ("edits",)},
)
@click.option(
    "--editor",
    required=True,
    metavar="NAME",
    shell_complete=complete_editors,
    help="Editing method, or METHOD+TRANSFORM.",
)
@click.option("--edits", required=True, type=Place, help="Table of facts: prompt, target, and subject if needed.")
@click.option("--out", "destination", required=True, type=Place, help="Patch file to write.")
@with_options(MODEL, REVISION, DTYPE, DEVICE, DEVICE_MAP, TRUST_REMOTE_CODE, MERGE_ADAPTER)
@with_options(SETTINGS, AS_PUBLISHED, TRACE, SKIP_MALFORMED, SEED, TARGET_SEPARATOR, THREADS, QUIET)
@click.pass_context
def edit_command(ctx: click.Context, /, **options: Any) -> None:
    """Write all facts of a table into one patch of a model. The model itself is not changed.

    Every row is checked before the model is loaded, and all malformed rows are named. A fact that the editor refuses is left
    out of the patch and named with the reason. If all facts are refused, nothing is written and the exit code is 3.
    """
    registry: Registry = ctx.obj
    find_editor(registry, options["editor"])
    reporter = Reporter(options["quiet"], COMMAND_LINE)
    with torch_loaded(reporter, options["threads"]):
        from wildcore.jobs.edit import make_patch  # heavy: imported only after the name has been checked

    spec = EditJob(**{**of_job(EditJob, options), "settings": parse_settings(options["settings"])})
    with reporter.track("making the patch", None):
        made = make_patch(registry, spec, options["edits"], options["destination"], reporter)
    console = results_console()
    _print_rows(console, "Malformed rows left out", made.left_out)
    _print_rows(console, f"Facts refused by {spec.editor}", made.refused)
    if made.patch is None:
        console.print(safe_text(f"Nothing was written: {spec.editor} refuses every fact ({len(made.refused)})."))
        ctx.exit(ALL_REFUSED)
    facts = made.patch.describe()
    if "change_norm" in facts:
        changed = f"{', '.join(facts['modules'])}; Frobenius norm of the change {facts['change_norm']:.4g}"
        console.print(safe_text(f"Changed: {changed}"))
    console.print(
        safe_text(f"Written: {made.written} of {made.written + len(made.refused) + len(made.left_out)} facts")
    )
    console.print(safe_text(f"Patch: {options['destination']}"))
    for command in _next_commands(options, weights="change_norm" in facts):
        console.print(safe_text(f"Next: {command}"), soft_wrap=True)


def _print_rows(console: Console, what: str, rows: Sequence[Malformed]) -> None:
    """Print every one of ``rows`` with its reason, so that the user can find each in the table."""
    if rows:
        console.print(safe_text(f"{what}: {len(rows)}"))
    for row in rows:
        console.print(safe_text(f"  {row.place}: {row.problem}"), soft_wrap=True)


def _next_commands(options: Mapping[str, Any], weights: bool) -> Iterator[str]:
    """Yield the commands that evaluate and apply the patch just written, with the options that select its model."""
    file = quote(str(options["destination"]))
    model = "".join(_given(options))
    yield f"wildcore eval --patch {file}{model}"
    if weights:
        yield f"wildcore apply {file}{model} --out {quote(str(options['destination'].with_suffix('')) + '-model')}"


def _given(options: Mapping[str, Any]) -> Iterator[str]:
    for name, usual in (("model", EMBEDDED_MODEL), ("revision", None), ("device", "auto"), ("device_map", None)):
        if options[name] != usual:
            yield f" --{name.replace('_', '-')} {quote(options[name])}"
    for flag in ("trust_remote_code", "merge_adapter"):
        if options[flag]:
            yield f" --{flag.replace('_', '-')}"


@click.command("apply", cls=CoreCommand, section=EDIT, short_help="Write a model folder with patches applied.")
@click.argument("patches", type=Place, nargs=-1, required=True)
@click.option("--out", "destination", required=True, type=Place, help="Model folder to write.")
@click.option(
    "--merge", is_flag=True, help="Apply several patches, each made for the unedited model; their changes add up."
)
@with_options(MODEL, REVISION, DEVICE, DEVICE_MAP, TRUST_REMOTE_CODE, MERGE_ADAPTER, THREADS, QUIET)
@click.pass_context
def apply_command(ctx: click.Context, /, **options: Any) -> None:
    """Write a model with PATCHES applied as an ordinary model folder.

    Each of PATCHES is a patch file, or the folder of a run with --schedule batch or sequential, which stands for what that run
    wrote.
    """
    if len(options["patches"]) > 1 and not options["merge"]:
        raise UserError("several patches are applied only with --merge: each was made for the model without the others")
    reporter = Reporter(options["quiet"], COMMAND_LINE)
    with torch_loaded(reporter, options["threads"]):
        from wildcore.jobs.edit import apply_patches  # heavy

    spec = ModelChoice(**of_job(ModelChoice, options))
    with reporter.track("writing the model", None):
        copied = apply_patches(ctx.obj, spec, options["patches"], options["destination"], reporter)
    console = results_console()
    console.print(safe_text(f"Model: {options['destination']}"))
    if copied:
        console.print(safe_text(f"Copied as they were: {', '.join(copied)}"))
    if MODEL_CARD in copied:
        console.print(safe_text(f"{MODEL_CARD} describes the model before the edits."))
