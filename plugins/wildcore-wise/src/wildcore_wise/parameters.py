"""Hyper-parameters of WISE, with the published ones for known models."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from wildcore import Departure, EditorParams, ModelShape, Parameter, Preset, UserError
from wildcore.architectures import GPT_J_6B, LLAMA_2_7B, LLAMA_3_2_3B, LLAMA_3_8B, MISTRAL_7B, QWEN_2_5_7B

_LLAMA_3: dict[str, Any] = {"layer": 29, "learning_rate": 0.9, "steps": 30}

_DEPARTURES = (
    Departure(
        "weight_decay",
        0.0,
        1e-5,
        "The optimiser decays the whole side memory, and only the gradient is masked: weights outside the mask change too. "
        "The paper trains the masked weights alone.",
    ),
    Departure(
        "activity",
        "outputs",
        "activated-outputs",
        "The paper's equation 4 compares what the projections give; the code applies the MLP's activation function first.",
    ),
    Departure(
        "activity_over",
        "prompt",
        "text",
        "Activity is averaged over the target's tokens too. Prompts are routed before the target is there, so the default trains "
        "what routes them.",
    ),
    Departure(
        "answer_loss",
        "mean",
        "published",
        "The mask of the target begins one token early, at a token without a label, so that the sum is divided by one too many.",
    ),
    Departure(
        "answer_labels",
        "target",
        "padded",
        "Labels are masked by the length of the longest prompt in rows padded on the left. Where the irrelevant text is the "
        "longest row, the end of the prompt is trained as if it were the target.",
    ),
    Departure(
        "count_padding",
        False,
        True,
        "An edit's texts are one batch padded on the left, and what the network makes of padding counts in each mean; positions "
        "are counted from the padding on. So what is trained depends on how much shorter a text is than its neighbours.",
    ),
    Departure(
        "threshold_from",
        "prompts-after-training",
        "texts-before-last-step",
        "A memory's threshold is recorded before the optimiser's last step, and on texts with their targets, by which no "
        "prompt is routed: an edited prompt may lie below it.",
    ),
    Departure(
        "routing",
        "prompt",
        "token",
        "The memory is chosen anew at every generated token, by the mean over all tokens up to it, so that an answer may change "
        "its memory midway. The paper routes a prompt.",
    ),
    Departure(
        "peak_beyond",
        None,
        100,
        "Of a text of more than 100 tokens the most active token decides, and not the mean of the paper's equation 4.",
    ),
    Departure(
        "unfinished_competes",
        False,
        True,
        "The memory being written keeps less active ones from being chosen also where it is below its own threshold and is not "
        "chosen either. By default only memories above their threshold compete.",
    ),
    Departure(
        "masks",
        "drawn by the run's seed",
        "drawn from NumPy's global random state",
        "That state depends on all that was drawn in the process. Masks that it gave can be given as a file.",
        by_switch=False,
    ),
    Departure(
        "irrelevant",
        "drawn from editor.corpus",
        "an unrelated question of the dataset with its answer",
        "An editor sees the facts that it writes, and no other rows of the dataset. The texts can be given as a file.",
        by_switch=False,
    ),
    Departure(
        "rows of a batch",
        "each row is routed by its own tokens",
        "one choice for all rows, by the mean over them and their padding",
        "An answer would depend on its neighbours. Published evaluation has one row in a batch, and then both are the same.",
        by_switch=False,
    ),
)


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
    departures: ClassVar[tuple[Departure, ...] | None] = _DEPARTURES
    depth: ClassVar[float] = 27 / 32

    steps: int = Field(default=70, gt=0)
    """Largest number of gradient steps for an edit."""

    learning_rate: float = Field(default=1.0, gt=0)
    """Learning rate of the plain gradient steps."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of the whole side memory, including weights outside the mask."""

    mask_ratio: float = Field(default=0.2, gt=0, le=1)
    """Share of the side memory's weights, chosen at random, that the edits of one memory may change."""

    norm_constraint: float | None = Field(default=1.0, gt=0)
    """Largest change of any single weight. None: unbounded."""

    loss_threshold: float = Field(default=0.02, ge=0)
    """Training ends when the loss is at most this and changes by less than ``loss_change``."""

    loss_change: float = Field(default=1e-4, ge=0)
    """Largest change of the loss between two steps at which training may end."""

    outside_margin: float = Field(default=5.0, ge=0)
    """Largest activity of a side memory on irrelevant text (alpha)."""

    inside_margin: float = Field(default=20.0, ge=0)
    """Smallest activity of a side memory on the edited prompt (beta)."""

    gap_margin: float = Field(default=10.0, ge=0)
    """Smallest difference between the activity on the edited prompt and that on irrelevant text (gamma)."""

    threshold_ratio: float = Field(default=0.88, gt=0, le=1)
    """A prompt runs through a side memory if the memory's activity exceeds this share of its activity on its least active
    edited prompt."""

    activity: Literal["outputs", "activated-outputs"] = "outputs"
    """Activity of a side memory on a token: the distance of its output from the projection's, or that distance after the MLP's
    activation function."""

    activity_over: Literal["prompt", "text"] = "prompt"
    """Tokens of an edited text whose activity is trained: the prompt's, which decide the routing, or the target's as well."""

    answer_loss: Literal["mean", "published"] = "mean"
    """Loss of a text's n labels: their mean, or their sum divided by n + 1 (published code)."""

    answer_labels: Literal["target", "padded"] = "target"
    """Tokens that are trained: the target's; or, in rows padded on the left, all after as many positions as the longest prompt
    has tokens (published code)."""

    count_padding: bool = False
    """Whether an edit's texts are padded on the left with the end-of-sequence token, and the padding is included: in the mean
    activity of a text, and in the positions of its tokens."""

    threshold_from: Literal["prompts-after-training", "texts-before-last-step"] = "prompts-after-training"
    """Activity from which a memory's threshold is computed: the mean on the prompts, but at most that on the bare prompt; or
    the mean on the tokens selected by ``activity_over``, before the last step."""

    routing: Literal["prompt", "token"] = "prompt"
    """What is routed: a prompt, once; or every token, by all tokens up to it. The second needs a pass over the whole text for
    each token."""

    peak_beyond: int | None = Field(default=None, gt=0)
    """Texts with more tokens than this are routed by their most active token instead of the mean. None: no text is."""

    unfinished_competes: bool = False
    """Whether the memory being written, even below its threshold, prevents less active memories from being chosen."""

    save_every: int = Field(default=500, gt=0)
    """Number of edits that share a side memory; the next ones get a new memory with a new mask."""

    merge_every: int = Field(default=1000, gt=0)
    """After this many edits the side memories made since the last merge are merged into one; a multiple of ``save_every``."""

    merge_density: float = Field(default=0.53, gt=0, le=1)
    """Share of each memory's changes, the largest ones, that a merge keeps."""

    prefix_lengths: tuple[tuple[int, int], ...] = ((5, 5), (10, 5))
    """Prefixes that the model generates for the prompt: pairs of the number of new tokens and the number of prefixes."""

    prefix_top_k: int = Field(default=1, gt=0)
    """Each token of these prefixes is sampled from the k most probable tokens. The default 1 equals the published code for a
    model whose generation config does not ask for sampling."""

    prefixes: Path | None = None
    """File of prefixes to use instead of sampled ones: a JSON list of texts, or a text file with one on each line. A text is
    put before the prompt with a space between; if it ends in {}, the prompt replaces the {}. The bare prompt is always used
    too."""

    corpus: str = "sample"
    """Source of irrelevant text: "sample" (bundled), a text file with one document on each line, or
    "hub:NAME:CONFIG:SPLIT"."""

    irrelevant_tokens: int = Field(default=24, gt=0)
    """Number of tokens of irrelevant text for each edit, from the beginning of a document."""

    irrelevant: Path | None = None
    """Irrelevant texts to use instead of the corpus: a JSON file with an object that maps "PROMPT TARGET" to the text for that
    request. The whole text is used."""

    masks: Path | None = None
    """Masks to use instead of random ones: a safetensors file with a mask [outputs, inputs] of zeros and ones for each request
    that begins a memory, named "PROMPT TARGET"."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. Raises ``UserError`` also if memories cannot be merged this way."""
        completed = super().for_model(shape)
        if completed.merge_every % completed.save_every:
            raise UserError(
                ("not a multiple of ", Parameter("editor.save_every", completed.save_every)),
                about=Parameter("editor.merge_every", completed.merge_every),
            )
        return completed

    def not_as_published(self) -> list[str]:
        """Return which departures remain. Values from a file count as published, if the file contains the published ones."""
        given = [name for name in ("masks", "irrelevant") if getattr(self, name) is not None]
        return [name for name in super().not_as_published() if name not in given]
