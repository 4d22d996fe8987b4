"""Hyper-parameters of MEMIT, with the published ones for known models."""

from typing import Any, ClassVar

from wildcore_keyvalue.layer_parameters import LeastSquaresParams

from wildcore import ModelShape, Preset

_4_TO_8: dict[str, Any] = {"layers": (4, 5, 6, 7, 8), "moment_weight": 15000.0}
_META: dict[str, Any] = {"clamp_factor": 0.75, "weight_decay": 0.5}

PRESETS = (
    Preset(
        "gpt2-xl",
        ModelShape("gpt2", 48, 1600, 50257),
        {**_META, "layers": (13, 14, 15, 16, 17), "steps": 20, "moment_weight": 20000.0},
    ),
    Preset(
        "gpt-j-6b",
        ModelShape("gptj", 28, 4096, 50400),
        {**_META, "layers": (3, 4, 5, 6, 7, 8), "moment_weight": 15000.0},
    ),
    Preset("llama-2-7b", ModelShape("llama", 32, 4096, 32000), _4_TO_8),
    Preset("llama-3-8b", ModelShape("llama", 32, 4096, 128256), {**_META, **_4_TO_8, "learning_rate": 0.1}),
    Preset("llama-3.2-3b", ModelShape("llama", 28, 3072, 128256), _4_TO_8),
    Preset("mistral-7b", ModelShape("mistral", 32, 4096, 32000), _4_TO_8),
    Preset("qwen2-7b", ModelShape("qwen2", 28, 3584, 152064), _4_TO_8),
)


class MemitParams(LeastSquaresParams):
    """Parameters of ``memit``; the defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 8 / 32
