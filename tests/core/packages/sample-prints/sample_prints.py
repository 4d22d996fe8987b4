"""Prints at import and from a hook; otherwise it works."""

from wildcore import Offer, hookimpl

print('{"printed": "at import"}')


@hookimpl
def wildcore_editors():
    print("\x1b[31mfrom a hook")
    return [Offer("prints-editor", lambda params: None)]
