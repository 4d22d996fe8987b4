"""``wildcore compare``: runs side by side."""

from pathlib import Path

import click

from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.pages import CoreCommand
from wildcore.completion import complete_runs
from wildcore.errors import Option, UserError, escaped
from wildcore.help_pages import RESULTS
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.reporting.compared import compared
from wildcore.reporting.comparison import print_comparison
from wildcore.reporting.comparison_formats import DOCUMENT, Format, formatted
from wildcore.reporting.console import Reporter

FORMATS: tuple[Format, ...] = ("json", "csv", "markdown", "latex")


@click.command(
    "compare",
    cls=CoreCommand,
    section=RESULTS,
    short_help="Show runs side by side, with their differences.",
    documents=(DOCUMENT,),
)
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, shell_complete=complete_runs)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="RUN",
    shell_complete=complete_runs,
    help="The run that the others are compared with (default: the first).",
)
@click.option(
    "--by",
    metavar="PROTOCOL.KIND[.METRIC]",
    help="What editors are ranked by, such as wild.locality (default: wild.reliability, or that of the first protocol).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one row for each difference as CSV.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--latex", "as_latex", is_flag=True, help="Print a LaTeX table for the package booktabs.")
@click.pass_obj
def compare(
    registry: Registry,
    runs: tuple[Path, ...],
    baseline: Path | None,
    by: str | None,
    as_json: bool,
    as_csv: bool,
    as_markdown: bool,
    as_latex: bool,
) -> None:
    """Show RUNS side by side: in what they differ, their differences from the baseline, and a ranking of their editors.

    Differences are paired by case. A rank is a range where differences do not stand. Numbers of different runs are never
    averaged.
    """
    chosen = [form for form, given in zip(FORMATS, (as_json, as_csv, as_markdown, as_latex), strict=True) if given]
    if len(chosen) > 1:
        raise UserError("another format was chosen too", Option(chosen[1]), ("leave out ", Option(chosen[0])))
    folders, place = _with_baseline(runs, baseline)
    note = Reporter(quiet=False, naming=COMMAND_LINE).note
    opened = [RunFolder.finished(run, note) for run in folders]
    if chosen:
        comparison = compared(registry, opened, place, by, with_all_rankings=True)
        click.echo(escaped(formatted(comparison, chosen[0])))
    else:
        print_comparison(registry, opened, place, by)


def _with_baseline(runs: tuple[Path, ...], baseline: Path | None) -> tuple[list[Path], int]:
    """Return the runs, with the baseline first if it is not among them, and its index."""
    if baseline is None:
        return list(runs), 0
    resolved = [run.resolve() for run in runs]
    if baseline.resolve() in resolved:
        return list(runs), resolved.index(baseline.resolve())
    return [baseline, *runs], 0
