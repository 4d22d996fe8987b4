"""Parameters of norm-anchor scaling."""

from pydantic import Field

from wildcore import Params


class NormAnchorParams(Params):
    """Parameters of ``norm-anchor``."""

    norm: float | None = Field(default=None, gt=0)
    """Norm that every value is brought to, such as the mean norm of values found on the unedited model, as in published code.
    Left out: for each request that of what the model has in the value's place."""

    longest: float | None = Field(default=None, gt=0)
    """Values longer than so many times their reference norm are not written: what the model has in their place is, in its own
    length. Published code sets 2 for MEMIT and AlphaEdit and 5 for ROME. Left out: every value is written."""
