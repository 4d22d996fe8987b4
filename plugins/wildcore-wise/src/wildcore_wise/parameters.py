"""Hyper-parameters of WISE, with the published ones for known models."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from wildcore import EditorParams, ModelShape, Preset, UserError
from wildcore.shapes import GPT_J_6B, LLAMA_2_7B, LLAMA_3_2_3B, LLAMA_3_8B, MISTRAL_7B, QWEN_2_5_7B

_LLAMA_3: dict[str, Any] = {"layer": 29, "learning_rate": 0.9, "steps": 30}


class WiseParams(EditorParams):
    """Parameters of ``wise``. The presets are EasyEdit's settings, with retrieval among memories and without replay."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("gpt-j-6b", GPT_J_6B, {"layer": 21, "outside_margin": 15.0, "inside_margin": 40.0, "gap_margin": 20.0}),
        Preset("llama-2-7b", LLAMA_2_7B, {"layer": 27}),
        Preset("llama-3-8b", LLAMA_3_8B, {**_LLAMA_3, "outside_margin": 2.0, "threshold_ratio": 0.5}),
        Preset("llama-3.1-8b", LLAMA_3_8B, {**_LLAMA_3, "inside_margin": 10.0}),
        Preset("llama-3.2-3b", LLAMA_3_2_3B, {"layer": 27}),
        Preset("mistral-7b", MISTRAL_7B, {"layer": 27}),
        Preset("qwen2.5-7b", QWEN_2_5_7B, {"layer": 23}),
    )
    depth: ClassVar[float] = 27 / 32

    steps: int = Field(default=70, gt=0)
    """Most gradient steps for an edit."""

    learning_rate: float = Field(default=1.0, gt=0)
    """Learning rate of the plain gradient steps."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of the whole side memory. Published code has 1e-5, by which also weights outside the mask change."""

    mask_ratio: float = Field(default=0.2, gt=0, le=1)
    """Share of the side memory's weights, chosen at random, that the edits of one memory may change."""

    norm_constraint: float | None = Field(default=1.0, gt=0)
    """Largest change of any single weight; none: unbounded."""

    loss_threshold: float = Field(default=0.02, ge=0)
    """Training ends when the loss is no more than this, and hardly moves any more."""

    loss_change: float = Field(default=1e-4, ge=0)
    """How little the loss moves from step to step then."""

    outside_margin: float = Field(default=5.0, ge=0)
    """How active a side memory may be on irrelevant text (alpha)."""

    inside_margin: float = Field(default=20.0, ge=0)
    """How active it is to be on the edited prompt (beta)."""

    gap_margin: float = Field(default=10.0, ge=0)
    """How far the second is to exceed the first (gamma)."""

    threshold_ratio: float = Field(default=0.88, gt=0, le=1)
    """A prompt goes through a side memory where that is more active than this share of its least active edited prompt."""

    activity: Literal["outputs", "activated-outputs"] = "outputs"
    """How active a side memory is on a token: how far its output is from the projection's, as the paper has it, or how far they
    are apart after the MLP's activation function, as published code has it."""

    activity_over: Literal["prompt", "text"] = "prompt"
    """Tokens of an edited text whose activity is trained: the prompt's, by which prompts are routed, or, as in published code,
    also the target's."""

    answer_loss: Literal["mean", "published"] = "mean"
    """Loss of the target's n tokens: their mean, or as published code has it their sum over n + 1."""

    save_every: int = Field(default=500, gt=0)
    """Edits that share a side memory; the next ones get a new one, with a new mask."""

    merge_every: int = Field(default=1000, gt=0)
    """Edits after which the side memories made since are merged into one; a multiple of ``save_every``."""

    merge_density: float = Field(default=0.53, gt=0, le=1)
    """Share of each memory's changes, the largest, that a merge keeps."""

    prefix_lengths: tuple[tuple[int, int], ...] = ((5, 5), (10, 5))
    """Texts to let the model write that go before the prompt: pairs of new tokens, and how many texts of so many."""

    prefix_top_k: int = Field(default=1, gt=0)
    """Tokens of those texts are drawn from so many most probable ones; from one, as published code has them of a model whose
    own settings do not say that it is sampled from."""

    corpus: str = "sample"
    """Where irrelevant text is drawn from: "sample" (comes along), a text file with one document to a line, or
    "hub:NAME:CONFIG:SPLIT". Published code takes it from the dataset instead, an unrelated question with its answer."""

    irrelevant_tokens: int = Field(default=24, gt=0)
    """Tokens of irrelevant text for each edit: the beginning of a document."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. Raises ``UserError`` also where memories cannot be merged so."""
        completed = super().for_model(shape)
        if completed.merge_every % completed.save_every:
            raise UserError(
                f"editor.merge_every={completed.merge_every}: not a multiple of editor.save_every={completed.save_every}"
            )
        return completed
