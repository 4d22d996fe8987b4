"""Hyper-parameters of EMMET, with the published ones for known models."""

from typing import Any, ClassVar, Literal

from pydantic import Field
from wildcore_keyvalue.layer_parameters import LeastSquaresParams

from wildcore import Preset
from wildcore.architectures import GPT2_XL, GPT_J_6B, LLAMA_2_7B, LLAMA_3_2_3B

_META: dict[str, Any] = {"clamp_factor": 0.75, "weight_decay": 0.5}

PRESETS = (
    Preset(
        "gpt2-xl",
        GPT2_XL,
        {**_META, "layers": (17,), "steps": 20, "moment_weight": 1000.0},
    ),
    Preset("gpt-j-6b", GPT_J_6B, {**_META, "layers": (5,)}),
    Preset("llama-2-7b", LLAMA_2_7B, {"layers": (5,)}),
    Preset("llama-3.2-3b", LLAMA_3_2_3B, {"layers": (5,), "moment_weight": 1e5}),
)


class EmmetParams(LeastSquaresParams):
    """Parameters of ``emmet``. The defaults are those published for Llama-2-7B."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 5 / 32
    layers_edited: ClassVar[int] = 1

    moment_weight: float | None = Field(default=1.0, gt=0)
    """Weight of the second moments against ``ridge``. If several requests are written together, a higher weight gives up more
    of the values. It has no effect if ``ridge`` is 0, or for a single request."""

    ridge: float = Field(default=0.1, ge=0)
    """How far the values of several requests may be missed if their keys are similar: added to the diagonal of K^T (lambda
    C)^-1 K. With 0 every value is written exactly, however large the update."""

    second_moments: Literal["corpus", "identity"] = "corpus"
    """Statistics of each layer's keys: estimated on a corpus, or none (identity)."""
