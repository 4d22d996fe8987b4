"""Parameters of the generation strategies."""

from pydantic import Field

from wildcore import Params


class SamplingParams(Params):
    """Parameters of ``sampling``."""

    temperature: float = Field(default=1.0, gt=0)
    """The logits are divided by this. Below 1, probable tokens become more probable."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw only from the fewest most probable tokens that together have this probability (nucleus sampling)."""

    samples: int = Field(default=1, gt=0)
    """Number of answers to each question; their scores are averaged."""

    seed: int = Field(default=0, ge=0)
    """Seed of the random streams; it is independent of the run's seed."""

    max_new_tokens: int = Field(default=50, gt=0)
    """Tokens after which an answer ends whatever the stop rule says."""
