"""Forgets to return its offers."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    [Offer("no-return-editor", lambda params: None)]
