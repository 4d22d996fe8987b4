"""Parameters of editors that write into several layers."""

from typing import ClassVar, Literal, Self

from pydantic import Field

from wildcore import Departure, ModelShape
from wildcore_keyvalue.parameters import CORPUS, DAMPING, ESSENCE_POSITION, KeyValueParams, ValueParams

WEIGHT_TO_WIDTH = 15000 / 4096
"""The published weight of the second moments divided by the width of the models for which it was published."""


KEY_MEAN = Departure(
    "key_mean",
    "prompts",
    "groups",
    "the paper averages keys over all prompts; the code averages the prefixed ones first, and the bare prompt makes half of a "
    "key",
)


class SeveralLayersParams(ValueParams):
    """Which layers are edited, and how their keys are averaged."""

    departures: ClassVar[tuple[Departure, ...] | None] = (ESSENCE_POSITION, KEY_MEAN, CORPUS)

    layers_edited: ClassVar[int] = 5
    """How many layers are edited by default."""

    layers: tuple[int, ...] | None = None
    """Layers whose MLP output projections are edited, ascending, from 0. Left out: ``layer`` and the layers right before it,
    as many as the method edits; else from the preset, else by depth."""

    layer: int | None = None
    """The last of the layers; the value is added to the residual stream after it. Left out: the last of ``layers``."""

    prefix_lengths: tuple[tuple[int, int], ...] = ((10, 5),)
    """Prefixes to sample from the model: pairs of the number of tokens and the number of prefixes."""

    key_mean: Literal["prompts", "groups"] = "prompts"
    """How a key is averaged: the bare prompt weighs as much as each prefixed prompt (the paper), or as much as all of them
    together (published code)."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. The user's values take precedence over the preset's, those over the
        defaults.

        Raises ``UserError`` for an unknown preset, for layers that do not exist or are not ascending, and for a ``layer`` that
        is not the last of ``layers``.
        """
        named = self.model_copy(update=self._of_layers(self._layers(shape), shape))
        return super(SeveralLayersParams, named).for_model(shape)

    def _layers(self, shape: ModelShape) -> tuple[int, ...]:
        preset = self._preset(shape)
        if self.layers is not None:
            return self.layers
        if self.layer is None and preset is not None:
            return tuple(preset.values["layers"])
        last = int(self.depth * shape.layers) if self.layer is None else self.layer
        return tuple(range(min(last, max(0, last - self.layers_edited + 1)), last + 1))


class LeastSquaresParams(SeveralLayersParams, KeyValueParams):
    """What the least-squares solve weighs the new keys against."""

    departures: ClassVar[tuple[Departure, ...] | None] = (ESSENCE_POSITION, KEY_MEAN, DAMPING, CORPUS)

    moment_weight: float | None = Field(default=None, gt=0)
    """Weight of the second moments against the new keys (lambda). A higher weight changes less for other texts, and writes
    less of the value. Left out: from the preset, else 15,000 for a model 4,096 wide and in proportion for others."""

    second_moments: Literal["corpus", "identity"] = "corpus"
    """Statistics of each layer's keys: estimated on a corpus, or none (identity). With none, ``moment_weight`` is weighed
    against the keys' own length, and the published weights leave almost nothing of the edit."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model; raises ``UserError`` as ``SeveralLayersParams`` does."""
        completed = super().for_model(shape)
        if completed.moment_weight is not None:
            return completed
        return completed.model_copy(update={"moment_weight": WEIGHT_TO_WIDTH * shape.hidden_size})
