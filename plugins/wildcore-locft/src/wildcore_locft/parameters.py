"""Hyper-parameters of LocFT-BF, with the published ones for known models."""

from typing import ClassVar, Literal

from pydantic import Field

from wildcore import Departure, EditorParams, Preset, TargetEnding
from wildcore.architectures import LLAMA_3_8B, MISTRAL_7B, QWEN_2_5_7B

Module = Literal["mlp-output", "mlp", "attention", "layer"]


class LocFTParams(EditorParams):
    """Parameters of ``locft``. The defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("llama-3-8b", LLAMA_3_8B, {"layer": 22}),
        Preset("qwen2.5-7b", QWEN_2_5_7B, {"layer": 6}),
        Preset(
            "mistral-7b",
            MISTRAL_7B,
            {"layer": 23, "module": "layer", "learning_rate": 5e-5},
        ),
    )
    departures: ClassVar[tuple[Departure, ...] | None] = (
        Departure(
            "norms",
            "not trained",
            "trained, where module=layer",
            "a patch changes linear maps only; in a short run the maps change by less than 0.2 % for it",
            by_switch=False,
        ),
        Departure(
            "positions",
            "counted over real tokens",
            "counted over padding too",
            "the code pads on the left without saying where texts begin, which moves the positions of models that have absolute "
            "ones, such as GPT-2, where requests of several lengths are trained together",
            by_switch=False,
        ),
    )
    depth: ClassVar[float] = 22 / 32

    layer: int | None = None
    """Layer that is trained, from 0. Left out: from the preset, else by depth."""

    module: Module = "mlp-output"
    """Linear maps of the layer that are trained: the MLP's output projection, all of the MLP, all of the attention, or both."""

    epochs: int = Field(default=25, gt=0)
    """Largest number of passes over all requests."""

    batch_size: int = Field(default=100, gt=0)
    """Batch size of an Adam step, in requests."""

    learning_rate: float = Field(default=5e-4, gt=0)
    """Adam's learning rate."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Adam's weight decay."""

    loss_threshold: float = Field(default=0.01, ge=0)
    """A mini-batch with a loss below this makes no step; training ends when an epoch's mean loss is below it."""

    close_target: TargetEnding = "end-of-sequence"
    """What follows the target while editing: the end-of-sequence token (as published), a full stop, or nothing."""

    def not_as_published(self) -> list[str]:
        """Return which departures remain: norms, if they would be trained, and always the positions."""
        return [name for name in super().not_as_published() if name != "norms" or self.module == "layer"]
