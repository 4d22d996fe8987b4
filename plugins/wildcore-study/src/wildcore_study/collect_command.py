"""``wildcore study collect``: the tables of finished runs."""

from collections.abc import Sequence
from pathlib import Path

import click

from wildcore.help_pages import Example, HelpfulCommand
from wildcore.reporting.console import results_console
from wildcore_study.documents import TABLES
from wildcore_study.presets import complete_presets


@click.command(
    cls=HelpfulCommand,
    short_help="Print the tables of finished runs.",
    documents=(TABLES,),
    groups={"Tables": ("preset", "published")},
    examples=(
        Example("wildcore study collect runs/study-example", "Print the tables of a study."),
        Example("wildcore study collect runs/study-example --latex", "Print them for a paper."),
    ),
)
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path))
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=complete_presets,
    help="Arrange the tables as this experiment of the paper does. [default: as the study's plan says]",
)
@click.option("--published", is_flag=True, help="Show the paper's numbers beside those of other models too.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, one number on each line.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.option("--latex", "form", flag_value="latex", help="Print LaTeX tables for booktabs.")
def collect(folders: Sequence[Path], preset: str | None, published: bool, form: str | None) -> None:
    """Print the tables of each FOLDER: a study's folder, a run, or a folder that contains runs at any depth.

    A study's tables are those of its last plan, and runs that are not finished are listed. Differences are paired by case, with
    intervals and adjusted p-values. The paper's numbers stand beside those of its models.
    """
    from wildcore_study import rendering, tables
    from wildcore_study.gathering import gathered

    found = gathered(folders, preset)
    report = tables.collect(
        found.finished, found.unfinished, found.preset, published, only=found.protocols, title=found.title
    )
    report = report.model_copy(update={"notes": (*report.notes, *found.notes)})
    if form is None:
        rendering.print_report(results_console(), report)
        return
    write = {
        "json": rendering.to_json,
        "csv": rendering.to_csv,
        "markdown": rendering.to_markdown,
        "latex": rendering.to_latex,
    }[form]
    click.echo(write(report), nl=False)
