"""Real data and models for tests that cannot be part of a package: they are too large, or their licence forbids copying."""

from pathlib import Path

FOLDER = "shared"


def real_data(test: str, name: str) -> Path:
    """Return ``name`` in the nearest folder ``shared`` beside the file ``test`` or beside a folder above it.

    If there is none, return a path that does not exist, so that a test which needs it can skip.
    """
    places = [folder / FOLDER / name for folder in Path(test).resolve().parents]
    return next((place for place in places if place.exists()), places[0])
