"""Sizes of files for people, and how much room there is."""

from pathlib import Path
from shutil import disk_usage


def format_bytes(count: int) -> str:
    """Return a number of bytes for people: 512 B, 1.4 MiB."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def free_space(folder: Path) -> int:
    """Return how many bytes are free on the disk of an existing ``folder``."""
    return disk_usage(folder).free
