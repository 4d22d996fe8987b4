"""Offers an editor whose name is a number."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    return [Offer("numeric-name-editor", lambda params: None), Offer(7, lambda params: None)]
