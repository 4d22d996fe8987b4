"""Parameters of RECT."""

from typing import ClassVar

from pydantic import Field

from wildcore import DepartingParams, Departure


class RectParams(DepartingParams):
    """Parameters of ``rect``."""

    departures: ClassVar[tuple[Departure, ...] | None] = (
        Departure(
            "order",
            "each layer is cut before the next is solved",
            "all layers are solved, then cut",
            "later layers make up for what earlier ones no longer bring; where one layer is edited it is the same",
            by_switch=False,
        ),
    )

    share: float = Field(default=0.4, gt=0, le=1)
    """Share of the weight's entries that are changed: those with the largest change relative to their value. With the default,
    the paper finds that most of the edit's success is kept."""
