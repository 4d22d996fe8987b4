"""``wildcore prepare``: computes before the first run what an editor needs once for a model."""

from typing import Any

import click

from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.options import (
    AS_PUBLISHED,
    DEVICE,
    DEVICE_MAP,
    DTYPE,
    LIMIT,
    MERGE_ADAPTER,
    MODEL,
    QUIET,
    REVISION,
    SAMPLE,
    SAMPLE_SEED,
    SEED,
    SETTINGS,
    SKIP_MALFORMED,
    TARGET_SEPARATOR,
    THREADS,
    TRUST_REMOTE_CODE,
    WHERE,
    of_job,
    parse_where,
    with_options,
)
from wildcore.cli.pages import CoreCommand
from wildcore.cli.startup import torch_loaded
from wildcore.completion import complete_editors, complete_offers
from wildcore.datasets.selection import require_one_choice
from wildcore.help_pages import EDIT
from wildcore.jobs.build import find_editor
from wildcore.jobs.spec import PrepareJob, parse_settings
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter, results_console, safe_text
from wildcore.storage.sizes import format_bytes


@click.command("prepare", cls=CoreCommand, section=EDIT, short_help="Compute in advance what an editor needs once.")
@click.argument("editor", shell_complete=complete_editors)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=complete_offers("dataset"),
    help="Edit cases to train on, for editors with a trained part.",
)
@with_options(MODEL, REVISION, DTYPE, DEVICE, DEVICE_MAP, TRUST_REMOTE_CODE, MERGE_ADAPTER)
@with_options(SETTINGS, AS_PUBLISHED, WHERE, LIMIT, SAMPLE, SAMPLE_SEED, SKIP_MALFORMED, SEED, TARGET_SEPARATOR)
@with_options(THREADS, QUIET)
@click.pass_context
def prepare_command(ctx: click.Context, /, **options: Any) -> None:
    """Compute what EDITOR needs once for a model, and train its trained part if it has one.

    The result is kept in the cache, where eval and edit find it under the same parameters; `wildcore cache list` shows it. To
    resume interrupted work, give the same command again.
    """
    registry: Registry = ctx.obj
    find_editor(registry, options["editor"])
    if options["dataset"]:
        registry.find("dataset", options["dataset"])
    require_one_choice(options["limit"], options["sample"])
    chosen = of_job(PrepareJob, options)
    chosen |= {"settings": parse_settings(options["settings"]), "where": parse_where(options["where"])}
    _prepare(registry, PrepareJob(**chosen), Reporter(options["quiet"], COMMAND_LINE), options["threads"])


def _prepare(registry: Registry, spec: PrepareJob, reporter: Reporter, threads: str) -> None:
    with torch_loaded(reporter, threads):
        from wildcore.jobs.prepare import prepare  # heavy: imported only after the names have been checked

    try:
        with reporter.track(f"preparing {spec.editor}", None):
            made = prepare(registry, spec, reporter)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "Interrupted; what is finished is kept. Give the same command again to go on."
        ) from None
    console = results_console()
    for one in made:
        when = "already existed" if one.known else "prepared"
        console.print(safe_text(f"{one.kind}, {format_bytes(one.size)}, {when}: {one.path}"), soft_wrap=True)
    if not made:
        console.print(safe_text(f"Editor {spec.editor} keeps nothing for this model; there is nothing to prepare."))
