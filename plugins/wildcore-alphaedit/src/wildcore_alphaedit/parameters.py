"""Hyper-parameters of AlphaEdit, with the published ones for known models."""

from typing import Any, ClassVar, Self

from pydantic import Field
from wildcore_keyvalue.layer_parameters import SeveralLayersParams

from wildcore import ModelShape, Parameter, Preset, UserError
from wildcore.architectures import GPT2_XL, GPT_J_6B, LLAMA_3_8B, QWEN_2_5_7B

SHARE = 0.05
"""Value of ``nullspace_share`` if neither it nor a threshold is given."""

_AUTHORS: dict[str, Any] = {
    "clamp_factor": 0.75,
    "weight_decay": 0.5,
    "update_penalty": 10.0,
    "nullspace_threshold": 2e-2,
}

PRESETS = (
    Preset("gpt2-xl", GPT2_XL, {**_AUTHORS, "layers": (13, 14, 15, 16, 17), "steps": 20}),
    Preset("gpt-j-6b", GPT_J_6B, {**_AUTHORS, "layers": (3, 4, 5, 6, 7, 8)}),
    Preset(
        "llama-3-8b",
        LLAMA_3_8B,
        {**_AUTHORS, "layers": (4, 5, 6, 7, 8), "learning_rate": 0.1},
    ),
    Preset(
        "qwen2.5-7b",
        QWEN_2_5_7B,
        {"layers": (4, 5, 6, 7, 8), "update_penalty": 1.0, "nullspace_threshold": 2e-2},
    ),
)


class AlphaEditParams(SeveralLayersParams):
    """Parameters of ``alphaedit``."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 8 / 32

    nullspace_threshold: float | None = Field(default=None, gt=0)
    """A direction may be written to if the mean square of ordinary keys in it, an eigenvalue of their second moments, is below
    this. It depends on the scale of a model's keys. Left out: from the preset, else ``nullspace_share`` decides."""

    nullspace_share: float | None = Field(default=None, gt=0, lt=1)
    """The least used directions may be written to, as many as together hold at most this share of the mean square length of
    ordinary keys. Left out: 0.05, if no threshold is given either."""

    update_penalty: float = Field(default=1.0, gt=0)
    """Weight of the update's own size against the new keys (L2): 1 in the paper, 10 in the authors' code."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. Raises ``UserError`` as ``SeveralLayersParams`` does.

        Also raises it if both a threshold and a share are given.
        """
        if self.nullspace_threshold is not None and self.nullspace_share is not None:
            raise UserError(
                "each says where the null space begins",
                (
                    Parameter("editor.nullspace_threshold", self.nullspace_threshold),
                    " and ",
                    Parameter("editor.nullspace_share", self.nullspace_share),
                ),
                "leave one of them out",
            )
        completed = super().for_model(shape)
        if self.nullspace_share is not None:
            return completed.model_copy(update={"nullspace_threshold": None})
        if completed.nullspace_threshold is None:
            return completed.model_copy(update={"nullspace_share": SHARE})
        return completed
