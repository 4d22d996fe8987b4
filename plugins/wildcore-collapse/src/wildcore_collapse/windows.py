"""Running text in windows: how likely a model finds each of its tokens, given those before it in the same window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from wildcore import Prompt
from wildcore.models import LoadedModel, at_least_float32, encode, pad

BATCH_TOKENS = 1024
"""Most tokens in one batch, including padding: their logits are in memory together."""

PROMPT_TOKENS = 32
"""Number of tokens at the beginning of a window that count as its prompt (see ``Window.prompt_length``)."""


@dataclass(frozen=True)
class Window:
    """Consecutive tokens of a text, after the special tokens with which the tokenizer begins a text, if any.

    ``first`` is the index of the first token that is predicted. The tokens of the text are predicted; where no special token
    stands before them, the first of them is only read.
    """

    token_ids: tuple[int, ...]
    first: int

    @property
    def predicted(self) -> int:
        """The number of tokens that are predicted."""
        return len(self.token_ids) - self.first

    @property
    def prompt_length(self) -> int:
        """The number of tokens by which a patch that routes by the prompt chooses its route: those at the beginning, at most
        ``PROMPT_TOKENS`` and at most half of the window.

        The whole window must not be the prompt: the route would then depend on the tokens to be predicted, and a patch that
        acts from the prompt's last token on would not act at all.
        """
        return max(1, min(PROMPT_TOKENS, len(self.token_ids) // 2))


@dataclass(frozen=True)
class Loss:
    """The negative log-likelihood (natural logarithm) of a window's predicted tokens: its sum, and their number."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """The mean over the predicted tokens."""
        return self.total / self.tokens


def windows(model: LoadedModel, texts: Sequence[str], tokens: int, length: int) -> list[Window]:
    """Cut the first ``tokens`` tokens of ``texts`` into windows of at most ``length`` tokens that do not overlap.

    No window is longer than the model's context, and none contains parts of two texts. A window in which no token can be
    predicted, because it has one token, is left out.
    """
    longest = min(length, model.max_length or length)
    found: list[Window] = []
    left = tokens
    for text in texts:
        beginning, ids = _tokenised(model, text)
        step = max(1, longest - len(beginning))
        for start in range(0, min(left, len(ids)), step):
            chunk = ids[start : min(start + step, left)]
            found.append(Window((*beginning, *chunk), max(1, len(beginning))))
        left -= min(left, len(ids))
    return [window for window in found if window.predicted > 0]


@torch.no_grad()
def losses(model: LoadedModel, cut: Sequence[Window]) -> list[Loss]:
    """Return the loss of each window, in order, under the patches that are applied. Logits are read in float32 at least."""
    return [loss for batch in _batches(cut, model.max_batch_size) for loss in _batch_losses(model, batch)]


def _tokenised(model: LoadedModel, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special tokens with which the tokenizer begins a text, and the tokens of ``text``."""
    ids = encode(model.tokenizer, Prompt(text=text, special_tokens=False))
    with_special = encode(model.tokenizer, Prompt(text=text))
    return with_special[: len(with_special) - len(ids)], ids


def _batches(cut: Sequence[Window], most: int | None) -> Iterator[Sequence[Window]]:
    """Yield the windows in batches of at most ``most`` rows and ``BATCH_TOKENS`` tokens, but at least one row."""
    longest = max((len(window.token_ids) for window in cut), default=1)
    size = max(1, min(BATCH_TOKENS // longest, most or len(cut)))
    for start in range(0, len(cut), size):
        yield cut[start : start + size]


def _batch_losses(model: LoadedModel, batch: Sequence[Window]) -> list[Loss]:
    ids, mask = pad([window.token_ids for window in batch], model.padding, "right", model.device)
    positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    lengths = [window.prompt_length for window in batch]
    logits, _ = model.forward(ids, mask, positions, prompt_lengths=lengths)
    found = []
    for row, window in enumerate(batch):
        before, end = window.first - 1, len(window.token_ids)
        predictions = at_least_float32(logits[row, before : end - 1])
        targets = ids[row, window.first : end].to(predictions.device)
        total = cross_entropy(predictions, targets, reduction="none").cpu().double().sum()
        found.append(Loss(float(total), window.predicted))
    return found
