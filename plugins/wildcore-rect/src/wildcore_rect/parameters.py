"""Parameters of RECT."""

from pydantic import Field

from wildcore import Params


class RectParams(Params):
    """Parameters of ``rect``."""

    share: float = Field(default=0.4, gt=0, le=1)
    """Share of the weight's entries that are changed: those that change most, as a share of what they are. At the default the
    paper finds most of the edit's success kept."""
