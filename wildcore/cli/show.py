"""``wildcore show``: a run as a table or edit by edit, for people, programs and papers."""

from pathlib import Path

import click

from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.pages import CoreCommand
from wildcore.completion import complete_runs
from wildcore.errors import Option, UserError, escaped
from wildcore.help_pages import RESULTS
from wildcore.records.run_folder import RunFolder
from wildcore.reporting.console import Reporter
from wildcore.reporting.edit_rows import RUN_EDITS
from wildcore.reporting.run import print_edits_of, print_run
from wildcore.reporting.run_formats import Format, formatted_edits, formatted_run
from wildcore.scoring.summary import ONE_RUN

FORMATS: tuple[Format, ...] = ("json", "csv", "markdown", "latex")


@click.command(
    "show", cls=CoreCommand, section=RESULTS, short_help="Show what a run measured.", documents=(ONE_RUN, RUN_EDITS)
)
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option("--edits", is_flag=True, help="Print the edits one by one instead of the table, in any format.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary, or the edits, as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: one row for each number, or for each edit and probe.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--latex", "as_latex", is_flag=True, help="Print a LaTeX table for the package booktabs.")
def show(run: Path, edits: bool, as_json: bool, as_csv: bool, as_markdown: bool, as_latex: bool) -> None:
    """Show what RUN measured."""
    chosen = [form for form, given in zip(FORMATS, (as_json, as_csv, as_markdown, as_latex), strict=True) if given]
    if len(chosen) > 1:
        raise UserError("another format was chosen too", Option(chosen[1]), ("leave out ", Option(chosen[0])))
    folder = RunFolder.finished(run, Reporter(quiet=False, naming=COMMAND_LINE).note)
    if chosen:
        click.echo(escaped((formatted_edits if edits else formatted_run)(folder, chosen[0])))
    elif edits:
        print_edits_of(folder)
    else:
        print_run(folder)
