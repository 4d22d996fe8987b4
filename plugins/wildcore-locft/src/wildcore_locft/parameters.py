"""Hyper-parameters of LocFT-BF, with the published ones for known models."""

from typing import ClassVar, Literal

from pydantic import Field

from wildcore import EditorParams, Preset
from wildcore.params import CloseTarget
from wildcore.shapes import LLAMA_3_8B, MISTRAL_7B, QWEN_2_5_7B

Module = Literal["mlp-output", "mlp", "attention", "layer"]


class LocFTParams(EditorParams):
    """Parameters of ``locft``; the defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("llama-3-8b", LLAMA_3_8B, {"layer": 22}),
        Preset("qwen2.5-7b", QWEN_2_5_7B, {"layer": 6}),
        Preset(
            "mistral-7b",
            MISTRAL_7B,
            {"layer": 23, "module": "layer", "learning_rate": 5e-5},
        ),
    )
    depth: ClassVar[float] = 22 / 32

    layer: int | None = None
    """Layer that is trained, from 0. Left out: from the preset, else by depth."""

    module: Module = "mlp-output"
    """Linear maps of the layer that are trained: the MLP's output projection, all of the MLP, all of the attention, or both."""

    epochs: int = Field(default=25, gt=0)
    """Most passes over all requests."""

    batch_size: int = Field(default=100, gt=0)
    """Requests to an Adam step."""

    learning_rate: float = Field(default=5e-4, gt=0)
    """Adam's learning rate."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Adam's weight decay."""

    loss_threshold: float = Field(default=0.01, ge=0)
    """A mini-batch with a loss below this makes no step; training ends when an epoch's mean loss is below it."""

    close_target: CloseTarget = "end-of-sequence"
    """How the target is closed while editing: by the end-of-sequence token (as published), by a full stop, or not at all."""
