"""Hyper-parameters of ROME and R-ROME, with the published ones for known models."""

from typing import Any, ClassVar, Literal

from wildcore_keyvalue.parameters import CORPUS, DAMPING, ESSENCE_POSITION, KeyValueParams

from wildcore import Departure, Preset
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

UpdateKey = Literal["prompt", "prefixed"]

_META: dict[str, Any] = {"steps": 20, "weight_decay": 0.5, "second_moments": "corpus"}
_MIRAGE: dict[str, Any] = {"layer": 5, "second_moments": "identity"}

PRESETS = (
    Preset("gpt2-medium", GPT2_MEDIUM, {**_META, "layer": 8, "clamp_factor": 3.0}),
    Preset("gpt2-large", GPT2_LARGE, {**_META, "layer": 12}),
    Preset("gpt2-xl", GPT2_XL, {**_META, "layer": 17}),
    Preset("gpt-j-6b", GPT_J_6B, {**_META, "layer": 5}),
    Preset("llama-2-7b", LLAMA_2_7B, _MIRAGE),
    Preset("llama-3-8b", LLAMA_3_8B, _MIRAGE),
    Preset("llama-3.2-3b", LLAMA_3_2_3B, _MIRAGE),
    Preset("mistral-7b", MISTRAL_7B, _MIRAGE),
    Preset("qwen2.5-7b", QWEN_2_5_7B, _MIRAGE),
)


class RomeParams(KeyValueParams):
    """Parameters of ``rome``. The defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    departures: ClassVar[tuple[Departure, ...] | None] = (ESSENCE_POSITION, DAMPING, CORPUS)
    depth: ClassVar[float] = 5 / 32

    update_key: UpdateKey = "prompt"
    """Key and value that the update replaces: those of the bare prompt (ROME), or the means over all prefixes."""

    direction_key: UpdateKey = "prefixed"
    """Key that gives the update its direction: the mean over all prefixes, or that of the bare prompt."""


class RRomeParams(RomeParams):
    """Parameters of ``r-rome``. With both ``update_key`` and ``direction_key`` "prompt" it is the paper's p-ROME."""

    update_key: UpdateKey = "prefixed"
    """Key and value that the update replaces: the means over all prefixes, or those of the bare prompt."""
