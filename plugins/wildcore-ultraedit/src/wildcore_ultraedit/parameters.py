"""Hyper-parameters of UltraEdit, with the published ones for known models."""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from wildcore import Departure, EditorParams, ModelShape, Parameter, Preset, UserError
from wildcore.architectures import GPT_J_6B, LLAMA_3_8B, MISTRAL_7B_V0_3, PHI_4, QWEN_2_5_7B

LEARNING_RATE = 1e-6
WIDTH = 4096
"""Width of the models for which the learning rate was published."""

FALL = 3
"""The learning rate falls with this power of the width: from a rate that suits the embedded model, 256 wide, to the published
one."""


def _mlp(layers: str, name: str, which: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{layers}.{layer}.mlp.{name}" for layer in which)


def _preset(name: str, shape: ModelShape, modules: tuple[str, ...]) -> Preset:
    values: dict[str, Any] = {"modules": modules, "learning_rate": LEARNING_RATE}
    return Preset(name, shape, values)


_LAYERS = "model.layers"

PRESETS = (
    _preset("gpt-j-6b", GPT_J_6B, _mlp("transformer.h", "fc_out", range(18, 27))),
    _preset(
        "llama-3-8b",
        LLAMA_3_8B,
        _mlp(_LAYERS, "gate_proj", range(11, 16)) + _mlp(_LAYERS, "up_proj", range(18, 25)),
    ),
    _preset("mistral-7b-v0.3", MISTRAL_7B_V0_3, _mlp(_LAYERS, "down_proj", (29, 30))),
    _preset(
        "qwen2.5-7b",
        QWEN_2_5_7B,
        _mlp(_LAYERS, "gate_proj", range(18, 27)) + _mlp(_LAYERS, "up_proj", range(18, 27)),
    ),
    _preset("phi-4", PHI_4, _mlp(_LAYERS, "down_proj", range(30, 39))),
)


class UltraEditParams(EditorParams):
    """Parameters of ``ultraedit``."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    departures: ClassVar[tuple[Departure, ...] | None] = (
        Departure(
            "batch_variance",
            "population",
            "sample",
            "the paper normalises by the variance of all tokens so far; the code adds up the sample variance of each batch, "
            "which comes out too large",
        ),
    )

    modules: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Linear maps that are edited, by their names in the model. Left out: from the preset, else the MLP output projections of
    ``layer_count`` layers up to ``layer``."""

    layer: int | None = None
    """Last of the layers whose MLP output projections are edited, from 0. Left out, and without ``modules``: the last but one
    of the model."""

    layer_count: int = Field(default=2, gt=0)
    """How many layers are edited, up to ``layer``."""

    learning_rate: float | None = Field(default=None, gt=0)
    """Factor of the values to write (eta). Left out: from the preset, else 1e-6 (4,096 / width)^3, which is our choice."""

    batch_size: int = Field(default=10, gt=0)
    """Batch size, in requests; the loss is the mean over the tokens of a batch."""

    tokens: Literal["target", "all"] = "target"
    """Tokens whose features are used: those that predict the target (the paper), or all that are read (other published
    code)."""

    batch_variance: Literal["population", "sample"] = "population"
    """What each batch adds to the running variance: its own squares, so that the result is the variance of all tokens so far;
    or its sample variance, with one token less in the denominator (published code)."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. The user's values take precedence over the preset's, those over the
        defaults.

        Raises ``UserError`` for an unknown preset, for a layer that does not exist, for a module named twice, and if both
        ``modules`` and ``layer`` are given.
        """
        if self.modules is not None and self.layer is not None:
            raise UserError(
                (Parameter("editor.modules"), " says what is edited"),
                Parameter("editor.layer", self.layer),
                "leave one of them out",
            )
        if self.modules is not None and len(set(self.modules)) < len(self.modules):
            raise UserError("name each module once", Parameter("editor.modules", list(self.modules)))
        layer = max(0, shape.layers - 2) if self.layer is None else self.layer
        completed = super(UltraEditParams, self.model_copy(update={"layer": layer})).for_model(shape)
        modules = completed.modules if self.layer is None else None
        rate = completed.learning_rate or LEARNING_RATE * (WIDTH / shape.hidden_size) ** FALL
        update = {"modules": modules, "layer": None if modules else completed.layer, "learning_rate": rate}
        return completed.model_copy(update=update)
