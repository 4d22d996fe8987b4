"""Fails inside a hook, after another has offered something already."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    return [Offer("raises-editor", lambda params: None)]


@hookimpl
def wildcore_datasets():
    raise RuntimeError("no facts\n  to be found")
