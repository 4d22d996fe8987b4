"""Parameters of the measurements."""

from pydantic import Field

from wildcore import Params

SAMPLE = "sample"
"""Stands for the text or the prompts that are bundled."""


class PerplexityParams(Params):
    """Parameters of ``perplexity``."""

    text: str = SAMPLE
    """Text to measure on: "sample" (bundled), a .txt file, which is one text, a .jsonl file with a field "text" on each line,
    or "hub:NAME[:CONFIG[:SPLIT]]", a dataset on the Hugging Face hub with a field "text"."""

    tokens: int = Field(default=2048, ge=2)
    """Most tokens of the text to read."""

    window: int = Field(default=256, ge=2)
    """Most tokens that the model reads at once; no more than its context length."""

    collapse_ratio: float = Field(default=10.0, gt=1)
    """The model counts as collapsed if its perplexity is at least this many times that of the unedited model."""


class EntropyParams(Params):
    """Parameters of ``n-gram-entropy``."""

    prompts: str = SAMPLE
    """Beginnings of texts to continue: "sample" (bundled), or a text file with one on each line."""

    new_tokens: int = Field(default=64, ge=1)
    """Number of tokens by which each beginning is continued."""

    collapse_share: float = Field(default=0.5, gt=0, lt=1)
    """The model counts as collapsed if its entropy is below this share of the unedited model's."""
