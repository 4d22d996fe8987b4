"""Ends the process at import, past every handler."""

import os

from wildcore import Offer, hookimpl

os._exit(0)


@hookimpl
def wildcore_editors():
    return [Offer("leaves-editor", lambda params: None)]
