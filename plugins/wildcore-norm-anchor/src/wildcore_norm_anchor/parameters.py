"""Parameters of norm-anchor scaling."""

from pydantic import Field

from wildcore import Params

SAMPLE = "sample"


class NormAnchorParams(Params):
    """Parameters of ``norm-anchor``."""

    norm: float | None = Field(default=None, gt=0)
    """Reference norm that every value is brought to. Left out: the mean norm of the values that the editor finds for ``facts`` on
    the unedited model."""

    facts: str = SAMPLE
    """Facts to measure on: "sample" (comes along), or a table with the fields prompt, subject and target."""

    facts_measured: int = Field(default=1000, gt=0)
    """Facts to measure at most: the first ones."""

    left_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of the measured norms, the largest, that the mean leaves out."""

    longest: float | None = Field(default=None, gt=0)
    """Values longer than so many times the reference norm are not written: what the MLP gives in their place stays. Published
    code sets 2 for MEMIT and AlphaEdit and 5 for ROME. Left out: every value is written."""
