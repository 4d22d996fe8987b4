"""Offers one thing twice."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    return [Offer("twice-editor", lambda params: None), Offer("twice-editor", lambda params: None)]
