"""Fails while its offers are read."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    yield Offer("raises-late-editor", lambda params: None)
    raise ZeroDivisionError("the second editor")
