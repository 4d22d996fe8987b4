"""Parameters of the text metrics."""

from typing import Literal

from wildcore import Params

Counts = Literal["any", "repetition", "other"]
Of = Literal["answer", "output"]

UNICODE = "unicode"
"""The segmenter that needs no plugin and no dictionary."""


class SegmentedParams(Params):
    """Parameters of metrics that compare words."""

    segmenter: str = UNICODE
    """How words are found in scripts without spaces, such as Chinese: by Unicode's word boundaries, which separate every
    character except in Katakana, or by the segmenter of a plugin."""


class ExtraContentParams(SegmentedParams):
    """Parameters of ``extra-content``."""

    counts: Counts = "any"
    """What scores 1: any extra content, only repetitions of accepted answers, or only other text."""

    of: Of = "answer"
    """Where to look: in the answer as truncated, or in the whole output."""
