"""Its import never ends, and it catches everything, so nothing stops it."""

import contextlib
import time

while True:
    with contextlib.suppress(BaseException):
        time.sleep(3600)
