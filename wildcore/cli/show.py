"""``wildcore show``: a run as a table, edit by edit, or as JSON."""

from pathlib import Path

import click

from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.pages import CoreCommand
from wildcore.completion import complete_runs
from wildcore.help_pages import RESULTS
from wildcore.records.run_folder import RunFolder
from wildcore.reporting.console import Reporter, results_console
from wildcore.reporting.run import print_edits, print_head, print_run
from wildcore.scoring.summary import ONE_RUN, summary


@click.command("show", cls=CoreCommand, section=RESULTS, short_help="Show what a run measured.", document=ONE_RUN)
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option("--edits", is_flag=True, help="Print one row for each edit.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def show(run: Path, edits: bool, as_json: bool) -> None:
    """Show what RUN measured."""
    folder = RunFolder.finished(run, Reporter(quiet=False, naming=COMMAND_LINE).note)
    if as_json:
        click.echo(ONE_RUN.text(summary(folder)))
    elif edits:
        console, cases = results_console(), list(folder.cases())
        print_head(console, folder, len(cases))
        print_edits(console, cases, list(folder.scores()))
    else:
        print_run(folder)
