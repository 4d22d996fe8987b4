"""Its hook waits for something that never comes."""

import threading

from wildcore import hookimpl


@hookimpl
def wildcore_editors():
    while True:
        yield from ()
        threading.Event().wait(3600)
