"""Its import never ends, and it catches whatever wakes it."""

import contextlib
import time

while True:
    with contextlib.suppress(Exception):
        time.sleep(3600)
