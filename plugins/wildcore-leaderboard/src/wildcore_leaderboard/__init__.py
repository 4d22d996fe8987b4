"""The commands ``wildcore leaderboard`` and ``wildcore publish``: a static site of ranked runs, the check of a submission, and
runs as data sets of the Hugging Face hub.
"""

import click

from wildcore import hookimpl


@hookimpl
def wildcore_commands(cli: click.Group) -> None:
    """Add the commands ``leaderboard`` and ``publish``."""
    from wildcore_leaderboard.commands import leaderboard
    from wildcore_leaderboard.publish_command import publish

    cli.add_command(leaderboard)
    cli.add_command(publish)
