"""Parameters shared by editors that optimise a value and weigh keys by second moments."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from wildcore import Departure, EditorParams, ModelShape, Parameter, Setting, UserError

ESSENCE_POSITION = Departure(
    "essence_position",
    "prompt-end",
    "subject-end",
    'the paper keeps what the model says after "{subject} is a"; the code reads it after the subject, within that text',
)
DAMPING = Departure(
    "damping",
    0.01,
    0.0,
    "paper and code add nothing to the second moments' diagonal; that a little is added by default is our choice, because few "
    "tokens are read by default",
)
CORPUS = Departure(
    "corpus",
    "sample",
    "hub:wikimedia/wikipedia:20231101.en",
    "paper and code read 100,000 documents of Wikipedia (a snapshot of 2020 or 2022), which takes hours: give published second "
    "moments by editor.moments, or name this corpus and as many editor.moment_tokens",
    by_switch=False,
)


class ValueParams(EditorParams):
    """How a value is optimised, with which prefixes, and where second moments come from."""

    steps: int = Field(default=25, gt=0)
    """Adam steps for the value; the last only measures the loss."""

    learning_rate: float = Field(default=0.5, gt=0)
    """Adam's learning rate for the value."""

    weight_decay: float = Field(default=1e-3, ge=0)
    """Factor of |delta| / |initial value|^2 in the loss."""

    clamp_factor: float = Field(default=4.0, gt=0)
    """Largest |delta|, as a multiple of |initial value|."""

    kl_factor: float = Field(default=0.0625, ge=0)
    """Factor of the divergence on "{subject} is a" in the loss."""

    essence_position: Literal["prompt-end", "subject-end"] = "prompt-end"
    """Where that divergence is measured: after "{subject} is a" as in the paper, or after the subject as in the published
    code."""

    loss_threshold: float = Field(default=0.05, ge=0)
    """The optimisation ends when the loss is below this."""

    corpus: str = "sample"
    """Corpus for the second moments of keys: "sample" (bundled), a text file with one document on each line, or
    "hub:NAME:CONFIG:SPLIT"."""

    moment_tokens: int = Field(default=4096, gt=0)
    """Number of tokens of the corpus to read. The small default is our choice, so that the first edit does not wait long:
    published code reads 100,000 documents of Wikipedia. There should be many more tokens than the layer's keys are wide; if
    there are fewer, a note says so."""

    moments: str | None = None
    """File of second moments to use instead: safetensors with the tensors moments and count, such as those in the cache, or
    the .npz of published code. Its name contains {layer} if there is one file for each layer. Left out: they are estimated."""

    prefixes: Path | None = None
    """File of prefixes to use instead of sampled ones: a JSON list of texts, or a text file with one on each line. A text is
    put before the prompt with a space between; if it ends in {}, the prompt replaces the {}. The bare prompt is always used
    too."""

    prefix_lengths: tuple[tuple[int, int], ...] = ((5, 10), (10, 10))
    """Prefixes to sample from the model: pairs of the number of tokens and the number of prefixes."""

    prefix_top_k: int = Field(default=5, gt=0)
    """Each prefix token is sampled from the k most probable tokens."""

    def not_as_published(self) -> list[str]:
        """Return which departures remain. The corpus is not among them if it is not read."""
        found = super().not_as_published()
        return found if self._estimates_moments() else [name for name in found if name != CORPUS.parameter]

    def _estimates_moments(self) -> bool:
        return self.moments is None


class KeyValueParams(ValueParams):
    """The same parameters, and how an update is weighed by the second moments."""

    second_moments: Literal["corpus", "identity"] = "corpus"
    """Statistics of the layer's keys: estimated on a corpus, or none (identity)."""

    damping: float = Field(default=0.01, ge=0)
    """Added to the second moments' diagonal, as a multiple of its mean. The default is our choice, for few tokens; 0, as
    published, needs many more tokens than keys are wide."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. Raises ``UserError`` also for ``moments`` that would not be used."""
        completed = super().for_model(shape)
        if completed.second_moments == "identity" and completed.moments is not None:
            raise UserError(
                ("not used with ", Parameter("editor.second_moments", "identity")),
                Parameter("editor.moments", completed.moments),
                ("leave one of them out, or choose ", Setting("editor.second_moments", "corpus")),
            )
        return completed

    def _estimates_moments(self) -> bool:
        return super()._estimates_moments() and self.second_moments == "corpus"
