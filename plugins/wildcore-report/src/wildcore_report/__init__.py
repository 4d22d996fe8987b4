"""Writes runs as one HTML file, and shows a folder of runs in the browser."""

import click

from wildcore import hookimpl


@hookimpl
def wildcore_commands(cli: click.Group) -> None:
    """Add the commands ``report`` and ``view``."""
    from wildcore_report.commands import report, view

    cli.add_command(report)
    cli.add_command(view)
