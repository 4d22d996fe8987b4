"""``wildcore compare``: runs side by side."""

from pathlib import Path

import click

from wildcore.cli.naming import COMMAND_LINE
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.reporting.comparison import print_comparison
from wildcore.reporting.console import Reporter


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.pass_obj
def compare(registry: Registry, runs: tuple[Path, ...]) -> None:
    """Show RUNS side by side, and in what they differ. Numbers of different runs are never averaged."""
    note = Reporter(quiet=False, naming=COMMAND_LINE).note
    print_comparison(registry, [RunFolder.finished(run, note) for run in runs])
