"""Hyper-parameters of MEMIT, with the published ones for known models."""

from typing import Any, ClassVar

from wildcore_keyvalue.layer_parameters import LeastSquaresParams

from wildcore import Preset
from wildcore.architectures import GPT2_XL, GPT_J_6B, LLAMA_2_7B, LLAMA_3_2_3B, LLAMA_3_8B, MISTRAL_7B, QWEN_2_5_7B

_4_TO_8: dict[str, Any] = {"layers": (4, 5, 6, 7, 8), "moment_weight": 15000.0}
_META: dict[str, Any] = {"clamp_factor": 0.75, "weight_decay": 0.5}

PRESETS = (
    Preset(
        "gpt2-xl",
        GPT2_XL,
        {**_META, "layers": (13, 14, 15, 16, 17), "steps": 20, "moment_weight": 20000.0},
    ),
    Preset(
        "gpt-j-6b",
        GPT_J_6B,
        {**_META, "layers": (3, 4, 5, 6, 7, 8), "moment_weight": 15000.0},
    ),
    Preset("llama-2-7b", LLAMA_2_7B, _4_TO_8),
    Preset("llama-3-8b", LLAMA_3_8B, {**_META, **_4_TO_8, "learning_rate": 0.1}),
    Preset("llama-3.2-3b", LLAMA_3_2_3B, _4_TO_8),
    Preset("mistral-7b", MISTRAL_7B, _4_TO_8),
    Preset("qwen2.5-7b", QWEN_2_5_7B, _4_TO_8),
)


class MemitParams(LeastSquaresParams):
    """Parameters of ``memit``. The defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 8 / 32
