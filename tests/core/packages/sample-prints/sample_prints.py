"""Prints at import and from a hook, also past Python; otherwise it works."""

import ctypes
import os

from wildcore import Offer, hookimpl

print('{"printed": "at import"}')
os.write(1, b'{"printed": "past Python"} ')


@hookimpl
def wildcore_editors():
    print("\x1b[31mfrom a hook")
    ctypes.CDLL(None).printf(b"by the C library\n")
    return [Offer("prints-editor", lambda params: None)]
