"""Its import never ends, and it catches whatever wakes it."""

import time

while True:
    try:
        time.sleep(3600)
    except Exception:
        pass
