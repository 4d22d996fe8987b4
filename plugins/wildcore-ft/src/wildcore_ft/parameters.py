"""Hyper-parameters of fine-tuning, with the published ones for known models."""

from typing import Any, ClassVar

from pydantic import Field

from wildcore import Departure, EditorParams, Preset
from wildcore.architectures import (
    GPT2_LARGE,
    GPT2_MEDIUM,
    GPT2_XL,
    GPT_J_6B,
    LLAMA_2_7B,
    LLAMA_3_2_3B,
    LLAMA_3_8B,
    MISTRAL_7B,
    QWEN_2_5_7B,
)

_LAYER_21: dict[str, Any] = {"layer": 21, "norm_constraint": None}


class FineTuningParams(EditorParams):
    """Parameters of both methods."""

    depth: ClassVar[float] = 21 / 32

    steps: int = Field(default=25, gt=0)
    """Largest number of Adam steps."""

    learning_rate: float = Field(default=5e-4, gt=0)
    """Adam's learning rate."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Adam's weight decay."""

    loss_threshold: float = Field(default=0.01, ge=0)
    """Training ends when the loss is below this."""

    norm_constraint: float | None = Field(default=None, gt=0)
    """Largest change of any single weight. None: unbounded."""


class FTMParams(FineTuningParams):
    """Parameters of ``ft-m``."""

    departures: ClassVar[tuple[Departure, ...] | None] = ()
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt2-xl", GPT2_XL, {"layer": 0, "norm_constraint": 5e-4}),
        Preset("gpt-j-6b", GPT_J_6B, _LAYER_21),
        Preset("llama-2-7b", LLAMA_2_7B, _LAYER_21),
        Preset("llama-3-8b", LLAMA_3_8B, _LAYER_21),
        Preset("llama-3.2-3b", LLAMA_3_2_3B, _LAYER_21),
        Preset("mistral-7b", MISTRAL_7B, {"layer": 21, "norm_constraint": 5e-5}),
        Preset("qwen2.5-7b", QWEN_2_5_7B, {"layer": 27, "norm_constraint": None}),
    )


class FTLParams(FineTuningParams):
    """Parameters of ``ft-l``."""

    departures: ClassVar[tuple[Departure, ...] | None] = (
        Departure(
            "train_beginning_of_sequence",
            False,
            True,
            "the code tokenises the target with special tokens, so that the beginning-of-sequence token is trained as a target "
            "too, by oversight",
        ),
    )
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt2-medium", GPT2_MEDIUM, {"layer": 0, "norm_constraint": 2e-3}),
        Preset("gpt2-large", GPT2_LARGE, {"layer": 0, "norm_constraint": 1e-3}),
        Preset("gpt2-xl", GPT2_XL, {"layer": 0, "norm_constraint": 5e-4}),
        Preset("gpt-j-6b", GPT_J_6B, {"layer": 0, "norm_constraint": 5e-5}),
        Preset("llama-2-7b", LLAMA_2_7B, _LAYER_21),
        Preset("llama-3-8b", LLAMA_3_8B, _LAYER_21),
        Preset("llama-3.2-3b", LLAMA_3_2_3B, _LAYER_21),
        Preset("mistral-7b", MISTRAL_7B, {"layer": 21, "norm_constraint": 5e-5}),
        Preset("qwen2.5-7b", QWEN_2_5_7B, {"layer": 27, "norm_constraint": None}),
    )

    norm_constraint: float | None = Field(default=5e-4, gt=0)
    """Largest change of any single weight. None: unbounded."""

    train_beginning_of_sequence: bool = False
    """Also train the beginning-of-sequence token at the prompt's last position, as the published code does by mistake."""
