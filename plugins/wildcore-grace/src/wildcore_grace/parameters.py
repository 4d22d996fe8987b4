"""Hyper-parameters of GRACE, with the published ones for known models."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from wildcore import Departure, EditorParams, ModelShape, Preset
from wildcore.architectures import GPT_J_6B, LLAMA_2_7B, QWEN_2_5_7B

_DEPARTURES = (
    Departure(
        "label_match",
        "text",
        "row-mean",
        "Two targets count as one if the means of their whole label rows are equal, the prompt's -100 included: the same target "
        "behind a prompt of another length is another, and other targets may be taken for the same. The paper compares labels.",
    ),
    Departure(
        "label_order",
        "as-keys",
        "newest-first",
        "A new key is put at the end and its label at the front, so that an edit is compared with the label of another key. In "
        "the paper a label belongs to its key.",
    ),
    Departure(
        "same_key",
        "replace",
        "split",
        "Another target for a prompt that was edited splits the distance 0: the new value is neither trained nor used, and the "
        "old one is no longer used. The paper does not speak of this case; by default the newer fact takes the key over.",
    ),
    Departure(
        "split_gap",
        0.0,
        1e-5,
        "The older key's radius is a little less than half the distance. In the paper both are half of it.",
    ),
    Departure(
        "start_values",
        "one for each key, by the run's seed",
        "drawn from the global random state in every forward pass",
        "What an edit starts from there depends on how many passes were made before it, those of evaluation included. The values "
        "that it started from can be given as a file.",
        by_switch=False,
    ),
    Departure(
        "rounding",
        "a prompt on a radius lies in it",
        "compared exactly",
        "The key of a prompt differs in its last bits from pass to pass. Where a radius grew to hold a prompt, rounding decides "
        "there, and may decide otherwise at the next token.",
        by_switch=False,
    ),
    Departure(
        "place of the value",
        "the prompt's last token",
        "where the last generation's prompt ended",
        "The place is kept from one generation to a plain pass after it. With a key-value cache every later token is looked up "
        "too. Published evaluation generates without a cache, and then the place is the prompt's last token.",
        by_switch=False,
    ),
)


class GraceParams(EditorParams):
    """Parameters of ``grace``. The presets are EasyEdit's settings, except the one that names a model's last layer."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt-j-6b", GPT_J_6B, {"layer": 25, "steps": 200}),
        Preset("llama-2-7b", LLAMA_2_7B, {"layer": 27}),
        Preset("qwen2.5-7b", QWEN_2_5_7B, {"layer": 18}),
    )
    departures: ClassVar[tuple[Departure, ...] | None] = _DEPARTURES
    depth: ClassVar[float] = 27 / 32

    steps: int = Field(default=50, gt=0)
    """Adam steps for a value."""

    learning_rate: float = Field(default=1.0, gt=0)
    """Adam's learning rate for a value."""

    initial_radius: float = Field(default=1.0, gt=0)
    """Deferral radius (epsilon) of a new key: the Euclidean distance within which a prompt gets the key's value."""

    label_match: Literal["text", "row-mean"] = "text"
    """When two edits have the same label: if their targets are the same text, or if the means of their label rows are equal. A
    label row is -100 for every token of the prompt, followed by the target's ids."""

    label_order: Literal["as-keys", "newest-first"] = "as-keys"
    """Position of a new label: that of its key, which is the last, or before all others."""

    same_key: Literal["replace", "split"] = "replace"
    """What an edit with another label does to the same key: it takes over the key, or it splits the distance, which is 0.
    After a split no prompt gets either value."""

    split_gap: float = Field(default=0.0, ge=0)
    """After a split, the older key's radius is this much less than half the distance."""

    start_values: Path | None = None
    """Values to use instead of random start values: a safetensors file with a tensor [outputs] for each request, named "PROMPT
    TARGET"."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. A layer chosen by depth is never the last: no later token would read
        its output.
        """
        completed = super().for_model(shape)
        if self.layer is not None or completed.preset != "none":
            return completed
        return completed.model_copy(update={"layer": min(completed.layer or 0, max(0, shape.layers - 2))})

    def not_as_published(self) -> list[str]:
        """Return which departures remain. Start values from a file count as published, if it contains the published ones."""
        given = () if self.start_values is None else ("start_values",)
        return [name for name in super().not_as_published() if name not in given]
