"""The command ``wildcore agreement``: how far two metrics, or two judges, agree on the answers of a run."""

import click

from wildcore import hookimpl


@hookimpl
def wildcore_commands(cli: click.Group) -> None:
    """Add the command ``agreement``."""
    from wildcore_agreement.command import agreement

    cli.add_command(agreement)
