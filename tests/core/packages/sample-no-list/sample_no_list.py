"""Returns an offer instead of a list."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    return Offer("no-list-editor", lambda params: None)
