"""The command line. One file for each command."""

import click

from wildcore.cli.driver import Driver


@click.group(cls=Driver, context_settings={"auto_envvar_prefix": "WILDCORE", "help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wildcore")
@click.option("--plugins", metavar="A,B", help="Load only these plugins.")
@click.option("--strict-plugins", is_flag=True, help="Stop if an installed plugin is broken.")
@click.pass_context
def main(context: click.Context, plugins: str | None, strict_plugins: bool) -> None:
    """Find out whether a model edit really works."""


def _add_commands() -> None:
    from wildcore.cli.audit import audit_command
    from wildcore.cli.cache import cache_command
    from wildcore.cli.compare import compare
    from wildcore.cli.describe import describe
    from wildcore.cli.edit import apply_command, edit_command
    from wildcore.cli.eval import eval_command
    from wildcore.cli.plugins import plugins_command
    from wildcore.cli.prepare import prepare_command
    from wildcore.cli.score import score
    from wildcore.cli.show import show

    running = (eval_command, score, edit_command, apply_command, prepare_command)
    for command in (*running, cache_command, show, compare, audit_command, plugins_command, describe):
        main.add_command(command)


_add_commands()
