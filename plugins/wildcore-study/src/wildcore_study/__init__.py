"""Studies: grids of evaluations over models, editors, datasets and protocols."""

from collections.abc import Iterable

import click

from wildcore import EvalProtocol, Executor, NoParams, Offer, hookimpl, lazy


@hookimpl
def wildcore_protocols() -> Iterable[EvalProtocol]:
    """Offer the protocols of the paper's controlled studies."""
    from wildcore_study.protocols import controlled_protocols

    return list(controlled_protocols())


@hookimpl
def wildcore_executors() -> Iterable[Offer[Executor]]:
    """Offer the executor for one machine."""
    return [Offer("local", lazy("wildcore_study.local:LocalExecutor"), NoParams, summary="one process for each device")]


@hookimpl
def wildcore_commands(cli: click.Group) -> None:
    """Add the command ``study``."""
    from wildcore_study.commands import study

    cli.add_command(study)
