"""Hyper-parameters of MEMIT, with the published ones for known models."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field
from wildcore_keyvalue.parameters import KeyValueParams

from wildcore import ModelShape, Preset, UserError

LAYERS_EDITED = 5
"""How many layers are edited where nothing says which."""

WEIGHT_TO_WIDTH = 15000 / 4096
"""The published weight of the second moments over the width of the models it was published for."""

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


class MemitParams(KeyValueParams):
    """Parameters of ``memit``; the defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 8 / 32

    layers: tuple[int, ...] | None = None
    """Layers whose MLP output projections are edited, ascending, from 0. Left out: ``layer`` and the four before it, else from
    the preset, else by depth."""

    layer: int | None = None
    """Last of the layers, after which the value is added to the residual stream. Left out: the last of ``layers``."""

    moment_weight: float | None = Field(default=None, gt=0)
    """Weight of the second moments against the new keys (lambda): the higher, the less is changed for other texts, and the less
    of the value is written. Left out: from the preset, else 15,000 for a model 4,096 wide and in proportion for others."""

    second_moments: Literal["corpus", "identity"] = "corpus"
    """Statistics of each layer's keys: estimated on a corpus, or none. Without them ``moment_weight`` is weighed against the
    keys' own length, and the published weights leave next to nothing of the edit."""

    prefix_lengths: tuple[tuple[int, int], ...] = ((10, 5),)
    """Prefixes to sample from the model: pairs of tokens and how many."""

    key_mean: Literal["prompts", "groups"] = "prompts"
    """How a key is averaged: the bare prompt weighs as much as each prefixed one, as the paper has it, or as much as all of them
    together, as in published code."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model: the user's over the preset's over the defaults.

        Raises ``UserError`` for an unknown preset, layers that the model does not have or that are not ascending, and a
        ``layer`` that is not the last of ``layers``.
        """
        layers = self._layers(shape)
        if not layers or list(layers) != sorted(set(layers)):
            raise UserError(f"editor.layers={list(layers)}: name at least one layer, in ascending order, each once")
        if layers[0] < 0 or layers[-1] >= shape.layers:
            raise UserError(f"editor.layers={list(layers)}: the model has layers 0 to {shape.layers - 1}")
        if self.layer not in (None, layers[-1]):
            raise UserError(
                f"editor.layer={self.layer}: the last of editor.layers={list(layers)} is another; leave one of them out"
            )
        completed = super(MemitParams, self.model_copy(update={"layers": layers, "layer": layers[-1]})).for_model(shape)
        if completed.moment_weight is not None:
            return completed
        return completed.model_copy(update={"moment_weight": WEIGHT_TO_WIDTH * shape.hidden_size})

    def _layers(self, shape: ModelShape) -> tuple[int, ...]:
        preset = self._preset(shape)
        if self.layers is not None:
            return self.layers
        if self.layer is None and preset is not None:
            return tuple(preset.values["layers"])
        last = int(self.depth * shape.layers) if self.layer is None else self.layer
        return tuple(range(min(last, max(0, last - LAYERS_EDITED + 1)), last + 1))
