"""Studies: grids of evaluations over models, editors, datasets and protocols."""

from collections.abc import Iterable

import click

from wildcore import EvalProtocol, hookimpl


@hookimpl
def wildcore_protocols() -> Iterable[EvalProtocol]:
    """Offer the protocols of the paper's controlled studies."""
    from wildcore_study.protocols import controlled_protocols

    return list(controlled_protocols())


@hookimpl
def wildcore_commands(cli: click.Group) -> None:
    """Add the command ``study``."""
    from wildcore_study.collect_command import collect

    @cli.group()
    def study() -> None:
        """Show the tables of a study."""

    study.add_command(collect)
