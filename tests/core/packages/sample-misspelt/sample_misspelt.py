"""Misspells a hook."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editor():
    return [Offer("misspelt-editor", lambda params: None)]
