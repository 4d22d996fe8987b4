"""Parameters of the text metrics."""

from typing import Literal

from wildcore import Params

Counts = Literal["any", "repetition", "other"]
Of = Literal["answer", "output"]


class ExtraContentParams(Params):
    """Parameters of ``extra-content``."""

    counts: Counts = "any"
    """What scores 1: any extra content, only repetitions of accepted answers, or only other text."""

    of: Of = "answer"
    """Where to look: in the answer as truncated, or in the whole output."""
