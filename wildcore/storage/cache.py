"""The folder of everything that is kept beyond a run."""

import os
from pathlib import Path

import platformdirs

from wildcore.home import user_path

CACHE_VARIABLE = "WILDCORE_CACHE"


def cache_folder() -> Path:
    """Return the folder named by $WILDCORE_CACHE, else the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return user_path(named) if named else Path(platformdirs.user_cache_dir("wildcore"))
