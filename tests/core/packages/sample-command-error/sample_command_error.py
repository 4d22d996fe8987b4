"""Fails while adding its command."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    return [Offer("command-error-editor", lambda params: None)]


@hookimpl
def wildcore_commands(cli):
    raise SystemExit("no command today")
