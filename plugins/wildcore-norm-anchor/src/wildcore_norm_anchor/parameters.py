"""Parameters of norm-anchor scaling."""

from pydantic import Field

from wildcore import Params

SAMPLE = "sample"


class NormAnchorParams(Params):
    """Parameters of ``norm-anchor``."""

    norm: float | None = Field(default=None, gt=0)
    """Reference norm to which every value is scaled. Left out: the mean norm of the values that the editor finds for ``facts``
    on the unedited model."""

    facts: str = SAMPLE
    """Facts to measure on: "sample" (bundled), or a table with the fields prompt, subject and target."""

    facts_measured: int = Field(default=1000, gt=0)
    """Largest number of facts to measure; the first ones are used."""

    left_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of the measured norms, the largest ones, that the mean leaves out."""

    longest: float | None = Field(default=None, gt=0)
    """Values longer than this multiple of the reference norm are not written: the MLP's own output is kept. Published code
    sets 2 for MEMIT and AlphaEdit and 5 for ROME. Left out: every value is written."""
