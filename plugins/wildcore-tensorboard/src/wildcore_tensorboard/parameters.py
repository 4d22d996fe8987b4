"""The parameters of the tracker ``tensorboard``."""

from pathlib import Path

from wildcore import TrackerParams


class TensorBoardParams(TrackerParams):
    """Where the event files are written."""

    folder: Path = Path("tensorboard")
    """Log folder, as ``tensorboard --logdir`` reads it; each run has a folder in it."""
