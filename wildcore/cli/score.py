"""``wildcore score``: further scores for a finished run, from its stored answers."""

from pathlib import Path
from typing import Any

import click

from wildcore.cli import shortcuts
from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.options import QUIET, with_options
from wildcore.cli.pages import CoreCommand
from wildcore.completion import complete_offers, complete_runs
from wildcore.errors import UserError
from wildcore.help_pages import RESULTS
from wildcore.interfaces import Environment
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter
from wildcore.reporting.run import print_run
from wildcore.scoring.summary import ONE_RUN, summary
from wildcore.storage.cache import cache_folder


@click.command(
    "score",
    cls=CoreCommand,
    section=RESULTS,
    short_help="Score a run's stored answers by further metrics.",
    documents=(ONE_RUN,),
)
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    shell_complete=complete_offers("metric"),
    help="Metric to score by; several allowed.",
)
@click.option("--set", "settings", multiple=True, metavar="metric.NAME=VALUE", help="Set a parameter of a metric.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@with_options(QUIET)
@click.pass_context
def score(
    ctx: click.Context, /, run: Path, metrics: tuple[str, ...], as_json: bool, quiet: bool, **options: Any
) -> None:
    """Add scores to the finished RUN from its stored answers. No model is loaded, and existing scores are kept."""
    from wildcore.jobs.build import segmenters
    from wildcore.jobs.score import add_scores

    registry: Registry = ctx.obj
    reporter = Reporter(quiet, COMMAND_LINE)
    folder = RunFolder.finished(run, reporter.note)
    names = shortcuts.added_metrics(ctx, registry, metrics)
    if not names:
        raise UserError("no metric named; give --metric NAME (wildcore plugins lists them)")
    environment = Environment(
        cache_folder(),
        int(folder.manifest.job["seed"]),
        reporter,
        segmenter=segmenters(registry),
        clock=folder.started,
    )
    with reporter.track("scoring", None):
        add_scores(registry, folder, names, shortcuts.settings(ctx, registry), environment)
    if as_json:
        click.echo(ONE_RUN.text(summary(folder)))
    else:
        print_run(folder, quiet=quiet)
