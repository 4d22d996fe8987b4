"""The measurement ``n-gram-entropy``: whether a model that continues texts freely repeats itself.

It is the generation entropy of Meng et al. (NeurIPS 2022), after Zhang et al. (NeurIPS 2018).
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from math import log2, sqrt
from statistics import fmean, stdev
from typing import Any

from torch import Tensor

from wildcore import Environment, Measured, Measurement, Output, Prompt
from wildcore.inference import decode
from wildcore.models import LoadedModel, encode
from wildcore.words import unicode_segments
from wildcore_collapse.numbers import FINITE, changed, compared, lost
from wildcore_collapse.parameters import EntropyParams
from wildcore_collapse.texts import hash_of, read_prompts

NAME = "n-gram-entropy"

WEIGHTS = {2: 2 / 3, 3: 4 / 3}
"""The weight of the entropy of n-grams, by n, as in the published code of ROME; the mean of the weights is 1."""


class NGramEntropy(Measurement):
    """Entropy of the 2-grams and 3-grams of words in greedy continuations; low if the model repeats itself."""

    def __init__(self, params: EntropyParams) -> None:
        self.params = params

    def prepare(self, environment: Environment) -> None:
        """Read the prompts. Raises ``UserError`` if that is impossible."""
        _ = self._prompts

    def pin_resources(self) -> dict[str, str]:
        """Return the hash of the prompts."""
        return {"sha256": hash_of(self._prompts)}

    def measure(self, model: LoadedModel) -> list[Measured]:
        """Measure the mean entropy of the continuations of the prompts; each has the same number of tokens.

        Without a value, the reason is given: the logits are not finite, or a prompt is too long for the model.
        """
        prompts = model.rewrite_prompts([Prompt(text=text) for text in self._prompts], self._prompts)
        problem = next(filter(None, (self._unaskable(model, prompt) for prompt in prompts)), None)
        if problem is not None:
            return [self._nothing(problem, {})]
        greedy = _WatchedGreedy()
        limits = [self.params.new_tokens] * len(prompts)
        outputs = decode(model, prompts, limits, stop=None, choose=greedy, at_limit="forced-length")
        if not greedy.finite:
            return [self._nothing("the model's logits are not finite", {FINITE: False})]
        return [self._measured(outputs)]

    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> list[str]:
        """Return a sign if the logits are not finite, or the entropy is below ``collapse_share`` of the unedited model's."""
        signs = []
        for before, after in compared(unedited, edited):
            signs += lost(before, after)
            if after.value is not None and after.value < self.params.collapse_share * before:
                signs.append(changed(before, after.value, after.name))
        return signs

    @cached_property
    def _prompts(self) -> tuple[str, ...]:
        return read_prompts(self.params.prompts)

    def _unaskable(self, model: LoadedModel, prompt: Prompt) -> str | None:
        """Return why a prompt cannot be continued by as many tokens as the others. None: it can."""
        ids = encode(model.tokenizer, prompt)
        if not ids:
            return f"the prompt {prompt.text!r:.60} has no token"
        if max(ids) >= model.embeddings:
            return f"the network has no embedding for token {max(ids)} of the prompt {prompt.text!r:.60}"
        needed = len(ids) + self.params.new_tokens
        if model.max_length is not None and needed > model.max_length:
            return f"a prompt of {len(ids)} tokens and {self.params.new_tokens} new ones exceed the model's {model.max_length}"
        return None

    def _measured(self, outputs: Sequence[Output]) -> Measured:
        entropies = [n_gram_entropy(words_and_marks(output.text)) for output in outputs]
        error = stdev(entropies) / sqrt(len(entropies)) if len(entropies) > 1 else None
        repeating = fmean(is_one_repeated(output) for output in outputs)
        return Measured(
            name=NAME,
            value=fmean(entropies),
            standard_error=error,
            higher_is_better=True,
            items=len(entropies),
            samples=tuple(entropies),
            details=self._details({FINITE: True, "repeating": repeating}),
        )

    def _nothing(self, reason: str, further: dict[str, Any]) -> Measured:
        return Measured(name=NAME, value=None, reason=reason, higher_is_better=True, details=self._details(further))

    def _details(self, further: dict[str, Any]) -> dict[str, Any]:
        """Return the facts of the record. ``repeating`` is the share of continuations for which ``is_one_repeated``."""
        named = {"prompts": self.params.prompts, **self.pin_resources()}
        return {**named, "new_tokens": self.params.new_tokens, **further}


class _WatchedGreedy:
    """Chooses the most probable token, and observes whether all logits are finite; minus infinity only excludes a token."""

    def __init__(self) -> None:
        self._broken: Tensor | None = None

    def __call__(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        """Return the most probable token of each row. The flag stays on the device, which is not waited for."""
        broken = (logits.isnan() | (logits == float("inf"))).any()
        self._broken = broken if self._broken is None else self._broken | broken
        return logits.argmax(-1)

    @property
    def finite(self) -> bool:
        """Whether all logits so far were finite."""
        return self._broken is None or not bool(self._broken)


def words_and_marks(text: str) -> list[str]:
    """Return the words and punctuation marks of ``text`` by the word boundaries of Unicode (UAX #29)."""
    return [part for part in unicode_segments(text) if not part.isspace()]


def n_gram_entropy(words: Sequence[str]) -> float:
    """Return the weighted mean of the entropies, in bits, of the 2-grams and 3-grams of ``words``; 0 if there are none."""
    return fmean(weight * _entropy(words, n) for n, weight in WEIGHTS.items())


def _entropy(words: Sequence[str], n: int) -> float:
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    total = counts.total()
    return sum(count / total * log2(total / count) for count in counts.values())


def is_one_repeated(output: Output) -> bool:
    """Return whether a continuation consists of one token, or of one word, over and over; also if it has no text."""
    return len(set(output.token_ids)) <= 1 or len(set(words_and_marks(output.text))) <= 1
