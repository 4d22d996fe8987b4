"""Hyper-parameters of ROME and R-ROME, with the published ones for known models."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from wildcore import EditorParams, ModelShape, Preset

UpdateKey = Literal["prompt", "prefixed"]

_META: dict[str, Any] = {"steps": 20, "weight_decay": 0.5, "second_moments": "corpus"}
_MIRAGE: dict[str, Any] = {"layer": 5, "second_moments": "identity"}

PRESETS = (
    Preset("gpt2-medium", ModelShape("gpt2", 24, 1024, 50257), {**_META, "layer": 8, "clamp_factor": 3.0}),
    Preset("gpt2-large", ModelShape("gpt2", 36, 1280, 50257), {**_META, "layer": 12}),
    Preset("gpt2-xl", ModelShape("gpt2", 48, 1600, 50257), {**_META, "layer": 17}),
    Preset("gpt-j-6b", ModelShape("gptj", 28, 4096, 50400), {**_META, "layer": 5}),
    Preset("llama-2-7b", ModelShape("llama", 32, 4096, 32000), _MIRAGE),
    Preset("llama-3-8b", ModelShape("llama", 32, 4096, 128256), _MIRAGE),
    Preset("llama-3.2-3b", ModelShape("llama", 28, 3072, 128256), _MIRAGE),
    Preset("mistral-7b", ModelShape("mistral", 32, 4096, 32000), _MIRAGE),
    Preset("qwen2-7b", ModelShape("qwen2", 28, 3584, 152064), _MIRAGE),
)


class RomeParams(EditorParams):
    """Parameters of ``rome``; the defaults are those published for models of 7 billion parameters."""

    presets: ClassVar[tuple[Preset, ...]] = PRESETS
    depth: ClassVar[float] = 5 / 32

    steps: int = Field(default=25, gt=0)
    """Adam steps for the value; the last only measures."""

    learning_rate: float = Field(default=0.5, gt=0)
    """Adam's learning rate for the value."""

    weight_decay: float = Field(default=1e-3, ge=0)
    """Factor of |delta| / |initial value|^2 in the loss."""

    clamp_factor: float = Field(default=4.0, gt=0)
    """Largest |delta|, as a multiple of |initial value|."""

    kl_factor: float = Field(default=0.0625, ge=0)
    """Factor of the divergence on "{subject} is a" in the loss."""

    essence_position: Literal["prompt-end", "subject-end"] = "prompt-end"
    """Where that divergence is read: after "{subject} is a" as the paper has it, or after the subject as published code does."""

    loss_threshold: float = Field(default=0.05, ge=0)
    """The optimisation ends when the loss is below this."""

    second_moments: Literal["corpus", "identity"] = "corpus"
    """Statistics of the layer's keys: estimated on a corpus, or none."""

    corpus: str = "sample"
    """Corpus for them: "sample" (comes along), a text file with one document to a line, or "hub:NAME:CONFIG:SPLIT"."""

    moment_tokens: int = Field(default=4096, gt=0)
    """Tokens of the corpus to read."""

    damping: float = Field(default=0.01, ge=0)
    """Added to the second moments' diagonal, as a multiple of its mean; 0, as published, needs many more tokens than keys
    are wide."""

    prefix_lengths: tuple[tuple[int, int], ...] = ((5, 10), (10, 10))
    """Prefixes to sample from the model: pairs of tokens and how many."""

    prefix_top_k: int = Field(default=5, gt=0)
    """Prefix tokens are drawn from so many most probable ones."""

    update_key: UpdateKey = "prompt"
    """Key and value that the update replaces: of the bare prompt, as ROME has it, or averaged over all prefixes."""

    direction_key: UpdateKey = "prefixed"
    """Key that gives the update its direction: averaged over all prefixes, or of the bare prompt."""


class RRomeParams(RomeParams):
    """Parameters of ``r-rome``. With ``update_key`` and ``direction_key`` both "prompt" it is the paper's p-ROME."""

    update_key: UpdateKey = "prefixed"
    """Key and value that the update replaces: averaged over all prefixes, or of the bare prompt."""
