"""Adds a command whose name a command of the core has."""

import click

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    return [Offer("clash-editor", lambda params: None)]


@hookimpl
def wildcore_commands(cli):
    @cli.command("show")
    def show():
        click.echo("taken over")
