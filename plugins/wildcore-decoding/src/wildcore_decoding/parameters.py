"""Parameters of the generation strategies."""

from pydantic import Field

from wildcore import Params


class SamplingParams(Params):
    """Parameters of ``sampling``."""

    temperature: float = Field(default=1.0, gt=0)
    """What the logits are divided by: below 1 the probable becomes more probable still."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw only from the fewest most probable tokens that together have this probability (nucleus sampling)."""

    samples: int = Field(default=1, gt=0)
    """Answers to each question; their scores are averaged."""

    seed: int = Field(default=0, ge=0)
    """What the random streams start from; not the run's seed."""

    max_new_tokens: int = Field(default=50, gt=0)
    """Tokens after which an answer ends whatever the stop rule says."""
