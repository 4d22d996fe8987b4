"""``~`` in paths that a user gives, which a shell expands only at the beginning of a word."""

import os
from pathlib import Path


def expanded(text: str) -> str:
    """Return ``text`` with the user's home folder in place of a ``~`` before the first slash; other texts are unchanged."""
    return os.path.expanduser(text) if text == "~" or text.startswith(("~/", "~\\")) else text


def user_path(given: str | Path) -> Path:
    """Return a path that a user gives, with ``~`` expanded."""
    return Path(expanded(str(given)))
