"""Hyper-parameters of ROME and R-ROME, with the published ones for known models."""

from typing import Any, ClassVar, Literal

from wildcore_keyvalue.parameters import KeyValueParams

from wildcore import ModelShape, Preset

UpdateKey = Literal["prompt", "prefixed"]

_META: dict[str, Any] = {"steps": 20, "weight_decay": 0.5, "second_moments": "corpus"}
_MIRAGE: dict[str, Any] = {"layer": 5, "second_moments": "identity"}

PRESETS = (
    Preset("gpt2-medium", ModelShape("gpt2", 24, 1024, 50257), {**_META, "layer": 8, "clamp_factor": 3.0}),
    Preset("gpt2-large", ModelShape("gpt2", 36, 1280, 50257), {**_META, "layer": 12}),
    Preset("gpt2-xl", ModelShape("gpt2", 48, 1600, 50257), {**_META, "layer": 17}),
    Preset("gpt-j-6b", ModelShape("gptj", 28, 4096, 50400), {**_META, "layer": 5}),
    Preset("llama-2-7b", ModelShape("llama", 32, 4096, 32000), _MIRAGE),
    Preset("llama-3-8b", ModelShape("llama", 32, 4096, 128256), _MIRAGE),
    Preset("llama-3.2-3b", ModelShape("llama", 28, 3072, 128256), _MIRAGE),
    Preset("mistral-7b", ModelShape("mistral", 32, 4096, 32000), _MIRAGE),
    Preset("qwen2-7b", ModelShape("qwen2", 28, 3584, 152064), _MIRAGE),
)


class RomeParams(KeyValueParams):
    """Parameters of ``rome``; the defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 5 / 32

    update_key: UpdateKey = "prompt"
    """Key and value that the update replaces: of the bare prompt, as ROME has it, or averaged over all prefixes."""

    direction_key: UpdateKey = "prefixed"
    """Key that gives the update its direction: averaged over all prefixes, or of the bare prompt."""


class RRomeParams(RomeParams):
    """Parameters of ``r-rome``. With ``update_key`` and ``direction_key`` both "prompt" it is the paper's p-ROME."""

    update_key: UpdateKey = "prefixed"
    """Key and value that the update replaces: averaged over all prefixes, or of the bare prompt."""
