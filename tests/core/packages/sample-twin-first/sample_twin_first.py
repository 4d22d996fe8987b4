"""One of two packages whose plugins have one name."""

from wildcore import Offer, hookimpl


@hookimpl
def wildcore_editors():
    return [Offer("twin-first", lambda params: None, summary="the first of two")]
