"""Hyper-parameters of fine-tuning, with the published ones for known models."""

from typing import Any, ClassVar

from pydantic import Field

from wildcore import EditorParams, ModelShape, Preset

GPT2_MEDIUM = ModelShape("gpt2", 24, 1024, 50257)
GPT2_LARGE = ModelShape("gpt2", 36, 1280, 50257)
GPT2_XL = ModelShape("gpt2", 48, 1600, 50257)
GPT_J = ModelShape("gptj", 28, 4096, 50400)
LLAMA_2_7B = ModelShape("llama", 32, 4096, 32000)
LLAMA_3_8B = ModelShape("llama", 32, 4096, 128256)
LLAMA_32_3B = ModelShape("llama", 28, 3072, 128256)
MISTRAL_7B = ModelShape("mistral", 32, 4096, 32000)
QWEN2_7B = ModelShape("qwen2", 28, 3584, 152064)

_LAYER_21: dict[str, Any] = {"layer": 21, "norm_constraint": None}


class FineTuningParams(EditorParams):
    """Parameters of both."""

    depth: ClassVar[float] = 21 / 32

    steps: int = Field(default=25, gt=0)
    """Most Adam steps."""

    learning_rate: float = Field(default=5e-4, gt=0)
    """Adam's learning rate."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Adam's weight decay."""

    loss_threshold: float = Field(default=0.01, ge=0)
    """Training ends when the loss is below this."""

    norm_constraint: float | None = Field(default=None, gt=0)
    """Largest change of any single weight; none: unbounded."""


class FTMParams(FineTuningParams):
    """Parameters of ``ft-m``."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt2-xl", GPT2_XL, {"layer": 0, "norm_constraint": 5e-4}),
        Preset("gpt-j-6b", GPT_J, _LAYER_21),
        Preset("llama-2-7b", LLAMA_2_7B, _LAYER_21),
        Preset("llama-3-8b", LLAMA_3_8B, _LAYER_21),
        Preset("llama-3.2-3b", LLAMA_32_3B, _LAYER_21),
        Preset("mistral-7b", MISTRAL_7B, {"layer": 21, "norm_constraint": 5e-5}),
        Preset("qwen2-7b", QWEN2_7B, {"layer": 27, "norm_constraint": None}),
    )


class FTLParams(FineTuningParams):
    """Parameters of ``ft-l``."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt2-medium", GPT2_MEDIUM, {"layer": 0, "norm_constraint": 2e-3}),
        Preset("gpt2-large", GPT2_LARGE, {"layer": 0, "norm_constraint": 1e-3}),
        Preset("gpt2-xl", GPT2_XL, {"layer": 0, "norm_constraint": 5e-4}),
        Preset("gpt-j-6b", GPT_J, {"layer": 0, "norm_constraint": 5e-5}),
        Preset("llama-2-7b", LLAMA_2_7B, _LAYER_21),
        Preset("llama-3-8b", LLAMA_3_8B, _LAYER_21),
        Preset("llama-3.2-3b", LLAMA_32_3B, _LAYER_21),
        Preset("mistral-7b", MISTRAL_7B, {"layer": 21, "norm_constraint": 5e-5}),
        Preset("qwen2-7b", QWEN2_7B, {"layer": 27, "norm_constraint": None}),
    )

    norm_constraint: float | None = Field(default=5e-4, gt=0)
    """Largest change of any single weight; none: unbounded."""

    train_beginning_of_sequence: bool = False
    """Also ask the beginning-of-sequence token of the prompt's last position, as the published code does by oversight."""
