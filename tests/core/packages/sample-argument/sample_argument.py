"""Gives a hook an argument that it does not have."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors(model):
    return [Offer("argument-editor", lambda params: model)]
