"""Parameters that editors share which optimise a value and weigh keys by second moments."""

from typing import Literal

from pydantic import Field

from wildcore import EditorParams


class ValueParams(EditorParams):
    """How a value is optimised, on which prefixes, and where second moments are estimated."""

    steps: int = Field(default=25, gt=0)
    """Adam steps for the value; the last only measures."""

    learning_rate: float = Field(default=0.5, gt=0)
    """Adam's learning rate for the value."""

    weight_decay: float = Field(default=1e-3, ge=0)
    """Factor of |delta| / |initial value|^2 in the loss."""

    clamp_factor: float = Field(default=4.0, gt=0)
    """Largest |delta|, as a multiple of |initial value|."""

    kl_factor: float = Field(default=0.0625, ge=0)
    """Factor of the divergence on "{subject} is a" in the loss."""

    essence_position: Literal["prompt-end", "subject-end"] = "prompt-end"
    """Where that divergence is read: after "{subject} is a" as the paper has it, or after the subject as published code does."""

    loss_threshold: float = Field(default=0.05, ge=0)
    """The optimisation ends when the loss is below this."""

    corpus: str = "sample"
    """Corpus for the second moments of keys: "sample" (comes along), a text file with one document to a line, or
    "hub:NAME:CONFIG:SPLIT"."""

    moment_tokens: int = Field(default=4096, gt=0)
    """Tokens of the corpus to read. That few are our choice, so that a first edit does not wait: published code reads 100,000
    documents of Wikipedia. There should be many more than the layer's keys are wide; where there are fewer, a note says so."""

    prefix_lengths: tuple[tuple[int, int], ...] = ((5, 10), (10, 10))
    """Prefixes to sample from the model: pairs of tokens and how many."""

    prefix_top_k: int = Field(default=5, gt=0)
    """Prefix tokens are drawn from so many most probable ones."""


class KeyValueParams(ValueParams):
    """The same, and how an update is weighed by the second moments."""

    second_moments: Literal["corpus", "identity"] = "corpus"
    """Statistics of the layer's keys: estimated on a corpus, or none."""

    damping: float = Field(default=0.01, ge=0)
    """Added to the second moments' diagonal, as a multiple of its mean, which is our choice, for few tokens; 0, as published,
    needs many more than keys are wide."""
