"""The parameters of the tracker ``trackio``."""

from pathlib import Path

from wildcore import TrackerParams


class TrackioParams(TrackerParams):
    """Where the runs are stored."""

    project: str = "wildcore"
    """The project of the runs."""

    folder: Path | None = None
    """Where trackio stores its projects. Left out: what TRACKIO_DIR says, else trackio's own folder."""
