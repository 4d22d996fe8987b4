"""Forgets to mark its hook."""

from wildcore import Offer


def wildcore_editors():
    return [Offer("unmarked-editor", lambda params: None)]
