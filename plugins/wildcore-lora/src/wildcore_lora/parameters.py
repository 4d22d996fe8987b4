"""Hyper-parameters of LoRA, with the published ones for known models."""

from typing import Any, ClassVar, Self

from pydantic import Field

from wildcore import Departure, EditorParams, ModelShape, Parameter, Preset, Setting, UserError
from wildcore.architectures import GPT2_XL, GPT_J_6B, LLAMA_2_7B, LLAMA_3_2_3B, LLAMA_3_8B, QWEN_2_5_7B


def _published(steps: int, *modules: str) -> dict[str, Any]:
    return {
        "rank": 8,
        "alpha": 32.0,
        "dropout": 0.1,
        "modules": modules,
        "steps": steps,
        "learning_rate": 5e-3,
        "weight_decay": 0.0,
        "loss_threshold": 0.0,
    }


class LoraParams(EditorParams):
    """Parameters of ``lora``. The presets are EasyEdit's settings."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt2-xl", GPT2_XL, _published(30, "attention-input")),
        Preset("gpt-j-6b", GPT_J_6B, _published(50, "mlp-input", "mlp-output")),
        Preset("llama-2-7b", LLAMA_2_7B, _published(70, "q_proj", "v_proj")),
        Preset("llama-3-8b", LLAMA_3_8B, _published(70, "q_proj", "v_proj")),
        Preset("llama-3.1-8b", LLAMA_3_8B, _published(50, "q_proj", "v_proj")),
        Preset("llama-3.2-3b", LLAMA_3_2_3B, _published(70, "q_proj", "v_proj")),
        Preset("qwen2.5-7b", QWEN_2_5_7B, _published(60, "q_proj", "v_proj")),
    )

    departures: ClassVar[tuple[Departure, ...] | None] = (
        Departure(
            "AdaLoRA",
            "LoRA, as in its paper",
            "AdaLoRA, but for Qwen2.5",
            "EasyEdit trains AdaLoRA under the name of LoRA, which divides the rank among the modules as it trains; it is "
            "not offered",
            by_switch=False,
        ),
        Departure(
            "batch",
            "all requests of an edit in each step",
            "one request in each step",
            "EasyEdit takes a step for each request in turn, which for a single request is the same; it is not offered",
            by_switch=False,
        ),
    )

    layer: int | None = None
    """Not used, because adapters are added to ``layers``. A value is refused."""

    layers: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Layers that are adapted, from 0, such as [4, 5]. Left out: all."""

    modules: tuple[str, ...] = Field(default=("attention-input",), min_length=1)
    """Projections of a layer that are adapted: attention-input, attention-output, mlp-input and mlp-output in every family, or
    names of the network's own modules, such as q_proj."""

    rank: int = Field(default=8, gt=0)
    """Rank of each adapter."""

    alpha: float = Field(default=32.0, gt=0)
    """An adapter's product is multiplied by alpha / rank."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that are set to zero in training. The choice depends on the seed, the kind of device and,
    for several requests in one edit, the batch size."""

    steps: int = Field(default=70, gt=0)
    """Largest number of Adam steps."""

    learning_rate: float = Field(default=5e-3, gt=0)
    """Adam's learning rate."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Adam's weight decay, applied to the adapters."""

    loss_threshold: float = Field(default=0.0, ge=0)
    """Training ends when the loss is below this; 0: all steps are made, as published."""

    def not_as_published(self) -> list[str]:
        """Return which departures remain. For Qwen2.5 EasyEdit itself trains LoRA."""
        found = super().not_as_published()
        return [name for name in found if name != "AdaLoRA"] if self.preset == "qwen2.5-7b" else found

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model, as ``EditorParams.for_model`` does, without a single ``layer``.

        Raises ``UserError`` also if ``layer`` is given, or if the model lacks one of ``layers``.
        """
        if self.layer is not None:
            raise UserError(
                "lora has no such parameter",
                Parameter("editor.layer", self.layer),
                ("choose ", Setting("editor.layers", [self.layer])),
            )
        lacking = [layer for layer in self.layers or () if not 0 <= layer < shape.layers]
        if lacking:
            raise UserError(
                f"the model has layers 0 to {shape.layers - 1}, not {lacking[0]}", Parameter("editor.layers")
            )
        return super().for_model(shape).model_copy(update={"layer": None})
