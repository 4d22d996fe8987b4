"""``wildcore compare``: runs side by side."""

from pathlib import Path

import click

from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.reporting.comparison import print_comparison


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.pass_obj
def compare(registry: Registry, runs: tuple[Path, ...]) -> None:
    """Show RUNS side by side, and in what they differ. Numbers of different runs are never averaged."""
    print_comparison(registry, [RunFolder.finished(run) for run in runs])
