"""Hyper-parameters of PMET, with the published ones for known models."""

from typing import Any, ClassVar

from pydantic import Field
from wildcore_keyvalue.layer_parameters import LeastSquaresParams

from wildcore import Preset
from wildcore.architectures import GPT_J_6B, GPT_NEOX_20B, LLAMA_2_7B, LLAMA_3_2_3B

_4_TO_8: dict[str, Any] = {"layers": (4, 5, 6, 7, 8), "moment_weight": 15000.0}

PRESETS = (
    Preset(
        "gpt-j-6b",
        GPT_J_6B,
        {
            "layers": (3, 4, 5, 6, 7, 8),
            "moment_weight": 6000.0,
            "steps": 30,
            "learning_rate": 0.2,
            "kl_factor": 1.0,
            "clamp_factor": 0.75,
        },
    ),
    Preset(
        "gpt-neox-20b",
        GPT_NEOX_20B,
        {
            "layers": (6, 7, 8, 9, 10),
            "moment_weight": 15000.0,
            "steps": 30,
            "kl_factor": 0.8,
            "clamp_factor": 0.8,
        },
    ),
    Preset("llama-2-7b", LLAMA_2_7B, _4_TO_8),
    Preset("llama-3.2-3b", LLAMA_3_2_3B, {**_4_TO_8, "steps": 25}),
)


class PmetParams(LeastSquaresParams):
    """Parameters of ``pmet``. The defaults are those published for Llama-2-7B."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 8 / 32

    layer: int | None = None
    """The last of the layers; the two vectors are added to its attention and its MLP. Left out: the last of ``layers``."""

    steps: int = Field(default=20, gt=0)
    """Adam steps for the two vectors; the last only measures the loss."""

    learning_rate: float = Field(default=0.5, gt=0)
    """Adam's learning rate for the two vectors."""

    weight_decay: float = Field(default=0.5, ge=0)
    """Factor of |delta| / |initial value|^2 in the loss, for each of the two vectors."""

    clamp_factor: float = Field(default=1.0, gt=0)
    """Largest |delta|, as a multiple of |initial value|, for each of the two vectors."""

    target_factor_once_said: float = Field(default=0.1, ge=0)
    """Weight of the target's loss in a step if every target token was the most probable one in the step before; 1: no
    change."""

    divergence_threshold: float = Field(default=0.01, ge=0)
    """The optimisation also ends if every target token is the most probable one and the divergence, times its factor, is at
    most this; with 0 only if there is no divergence."""
