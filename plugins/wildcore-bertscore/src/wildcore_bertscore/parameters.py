"""Parameters of BERTScore."""

from typing import Literal

from pydantic import Field

from wildcore import Params

Measure = Literal["f1", "precision", "recall"]


class BertScoreParams(Params):
    """Parameters of ``bert-score``."""

    encoder: str = "roberta-large"
    """Hub name or folder of the encoder, as safetensors. The default is the package's choice for English."""

    layer: int | None = Field(default=None, gt=0)
    """Layer whose states are compared, from 1. Left out: the package's choice, for encoders that it knows."""

    measure: Measure = "f1"
    """Precision (is the answer's content in the gold?), recall (is the gold's content in the answer?), or F1 of the two."""

    rescale: bool = False
    """Rescale the values by the package's baseline for English, so that unrelated texts score about 0."""

    batch_size: int = Field(default=64, gt=0)
    """Batch size of the encoder, in texts."""

    device: str = "auto"
    """Device of the encoder: auto, cpu, cuda, cuda:N or mps."""
