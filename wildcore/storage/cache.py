"""Where things are kept that outlive a run."""

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "WILDCORE_CACHE"


def cache_folder() -> Path:
    """Return the folder named by $WILDCORE_CACHE, else the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("wildcore"))


def make_durable(folder: Path) -> None:
    """Make the names of new files in ``folder``, and renames in it, survive the death of the machine, where the system can."""
    with suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
