"""The parameters of the tracker ``wandb``."""

from pathlib import Path

from wildcore import TrackerParams


class WandbParams(TrackerParams):
    """Where the runs are stored. The key is that of ``wandb login`` or WANDB_API_KEY; it is no parameter."""

    project: str = "wildcore"
    """The project of the runs."""

    entity: str | None = None
    """The user or team. Left out: what WANDB_ENTITY says, else the account's default."""

    folder: Path = Path(".")
    """Where wandb makes its folder for files of this machine."""
