"""The measurement ``perplexity``: how likely a model finds held-out text."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import exp, isfinite, sqrt
from typing import Any

from wildcore import Environment, Measured, Measurement, Setting
from wildcore.models import LoadedModel
from wildcore_collapse.numbers import FINITE, changed, compared, lost, shown
from wildcore_collapse.parameters import PerplexityParams
from wildcore_collapse.texts import TEXT, hash_of, read_texts
from wildcore_collapse.windows import Loss, Window, losses, windows

NAME = "perplexity"

CHARACTERS_PER_TOKEN = 16
"""No more characters are read for each token that is asked for; a token of ordinary text has about four."""


class Perplexity(Measurement):
    """exp of the mean negative log-likelihood of all predicted tokens of a text, read in windows that do not overlap."""

    def __init__(self, params: PerplexityParams) -> None:
        self.params = params
        self._environment: Environment | None = None

    def prepare(self, environment: Environment) -> None:
        """Read the text. Raises ``UserError`` if that is impossible."""
        self._environment = environment
        _ = self._texts

    def pin_resources(self) -> dict[str, str]:
        """Return the hash of the text."""
        return {"sha256": hash_of(self._texts)}

    def measure(self, model: LoadedModel) -> list[Measured]:
        """Measure the perplexity of ``model``; without a finite value, the reason is given.

        If the unedited model finds the text less likely than by guessing, this is noted.
        """
        cut = windows(model, self._texts, self.params.tokens, self.params.window)
        details = self._details(model, cut)
        problem = _unreadable(model, cut)
        if problem is not None:
            return [Measured(name=NAME, value=None, reason=problem, higher_is_better=False, details=details)]
        found = perplexity(losses(model, cut), details)
        if not model.carries_patches:
            self._note_guessing(found, model.shape.vocabulary)
        return [found]

    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> list[str]:
        """Return a sign if the perplexity is not finite, or at least ``collapse_ratio`` times the unedited model's."""
        signs = []
        for before, after in compared(unedited, edited):
            signs += lost(before, after)
            if after.value is not None and after.value >= self.params.collapse_ratio * before:
                signs.append(changed(before, after.value, after.name))
        return signs

    def _note_guessing(self, found: Measured, vocabulary: int) -> None:
        if self._environment is None or found.value is None or found.value <= vocabulary:
            return
        self._environment.progress.note(
            (
                f"the perplexity of the unedited model on the text {self.params.text} is {shown(found.value)}, more than by "
                f"guessing among the {vocabulary:,} tokens of its vocabulary: it cannot read such text, and its perplexity says "
                "little; name a text of the kind that it was trained on with ",
                Setting(TEXT, "FILE"),
            )
        )

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return read_texts(self.params.text, CHARACTERS_PER_TOKEN * self.params.tokens)

    def _details(self, model: LoadedModel, cut: Sequence[Window]) -> dict[str, Any]:
        return {
            "text": self.params.text,
            **self.pin_resources(),
            "tokens": self.params.tokens,
            "window": min(self.params.window, model.max_length or self.params.window),
            "windows": len(cut),
        }


def perplexity(found: Sequence[Loss], details: Mapping[str, Any]) -> Measured:
    """Return the perplexity of windows with these losses, at least one; the samples are the mean losses of the windows.

    The standard error is that of the mean loss times the perplexity (delta method). The mean loss is a ratio of two sums over
    windows, of losses and of tokens, and its standard error that of the ratio: tokens of one window are not independent.
    """
    tokens = sum(loss.tokens for loss in found)
    mean = sum(loss.total for loss in found) / tokens
    value = _exp(mean)
    finite = isfinite(value)
    of_mean = _standard_error(found, mean, tokens) if finite else None
    return Measured(
        name=NAME,
        value=value if finite else None,
        reason=None if finite else _reason(mean),
        standard_error=None if of_mean is None else value * of_mean,
        higher_is_better=False,
        items=tokens,
        samples=tuple(loss.mean for loss in found) if finite else (),
        details={**details, FINITE: finite},
    )


def _standard_error(found: Sequence[Loss], mean: float, tokens: int) -> float | None:
    """Return the standard error of the mean loss. None: there is only one window."""
    count = len(found)
    if count < 2:
        return None
    squares = sum((loss.total - mean * loss.tokens) ** 2 for loss in found)
    return sqrt(squares * count / (count - 1)) / tokens


def _exp(mean: float) -> float:
    try:
        return exp(mean)
    except OverflowError:
        return float("inf")


def _reason(mean: float) -> str:
    if isfinite(mean):
        return f"it is too large for a number: the mean negative log-likelihood is {mean:.4g}"
    return f"the mean negative log-likelihood of the text is {mean}"


def _unreadable(model: LoadedModel, cut: Sequence[Window]) -> str | None:
    """Return why the model cannot read the text. None: it can."""
    if not cut:
        return "the text has no token that could be predicted"
    largest = max(token for window in cut for token in window.token_ids)
    if largest >= model.embeddings:
        return f"the network has no embedding for token {largest} of the text"
    return None
