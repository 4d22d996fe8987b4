"""``wildcore study collect``: the tables of finished runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from wildcore import Place, UserError
from wildcore.records.run_folder import RunFolder
from wildcore.reporting.console import printable, results_console
from wildcore_study.presets import read_preset
from wildcore_study.tables import Unfinished


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path))
@click.option("--preset", metavar="NAME", help="Arrange the tables as this experiment of the paper does.")
@click.option("--published", is_flag=True, help="Show the paper's numbers beside those of other models too.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, one number on each line.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.option("--latex", "form", flag_value="latex", help="Print LaTeX tables for booktabs.")
def collect(folders: Sequence[Path], preset: str | None, published: bool, form: str | None) -> None:
    """Print the tables of the runs in each FOLDER: a run, or a folder that contains runs at any depth.

    Differences are paired by case, with intervals and adjusted p-values. The paper's numbers stand beside those of its models.
    """
    from wildcore_study import rendering, tables

    chosen = read_preset(preset) if preset is not None else None
    finished, unfinished = runs_in(folders)
    report = tables.collect(finished, unfinished, chosen, published)
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


def runs_in(folders: Iterable[Path]) -> tuple[list[RunFolder], list[Unfinished]]:
    """Return the finished runs in the folders, and what is not finished or not complete with the reason.

    Raises ``UserError`` for a folder that contains no run.
    """
    finished: dict[Path, RunFolder] = {}
    unfinished: list[Unfinished] = []
    for folder in folders:
        found = sorted(manifest.parent for manifest in folder.rglob("manifest.json"))
        if not found:
            raise UserError("contains no run", Place(folder), "name a run folder, or a folder with runs in it")
        for path in found:
            notes: list[str] = []
            try:
                finished[path.resolve()] = RunFolder.finished(path, notes.append)
            except UserError as error:
                notes.append(printable(str(error)))
            unfinished += [Unfinished(cell=str(path), reason=note) for note in notes]
    return list(finished.values()), unfinished
