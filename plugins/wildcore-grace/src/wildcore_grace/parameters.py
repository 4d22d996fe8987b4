"""Hyper-parameters of GRACE, with the published ones for known models."""

from typing import ClassVar, Self

from pydantic import Field

from wildcore import EditorParams, ModelShape, Preset
from wildcore.shapes import GPT_J_6B, LLAMA_2_7B, QWEN_2_5_7B


class GraceParams(EditorParams):
    """Parameters of ``grace``. The presets are EasyEdit's settings, without that which names a model's last layer."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt-j-6b", GPT_J_6B, {"layer": 25, "steps": 200}),
        Preset("llama-2-7b", LLAMA_2_7B, {"layer": 27}),
        Preset("qwen2.5-7b", QWEN_2_5_7B, {"layer": 18}),
    )
    depth: ClassVar[float] = 27 / 32

    steps: int = Field(default=50, gt=0)
    """Adam steps for a value."""

    learning_rate: float = Field(default=1.0, gt=0)
    """Adam's learning rate for a value."""

    initial_radius: float = Field(default=1.0, gt=0)
    """Deferral radius (epsilon) of a new key: how far from it, in Euclidean distance, a prompt may be that it answers."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model; by depth never its last layer: no later token reads what is put there."""
        completed = super().for_model(shape)
        if self.layer is not None or completed.preset != "none":
            return completed
        return completed.model_copy(update={"layer": min(completed.layer or 0, max(0, shape.layers - 2))})
