"""The prompt cache: a prompt that several protocols ask is read once.

Teacher forcing and decoding start alike, with the prefill of the prompt. Its result, the keys and values and the logits after
the prompt, is kept for the next protocol that asks the same edited model the same prompt. A prompt that only one protocol asks
is not kept. Nothing is shared under a patch that routes by the prompt while it is read, such as a ``ModulePatch``: it must
read the prompt itself. Nothing is shared with a generator that is not row-wise either: it may read more prompts, or other
prompts, than it was given.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wildcore.inference.kv_cache import (
    can_concatenate,
    concatenate_caches,
    concatenate_masks,
    gather_tokens,
    shallow_copy,
)
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import encode, pad
from wildcore.types import Prompt

Ids = Sequence[int]
Key = tuple[int, tuple[int, ...]]
"""The index of the edited model that is asked, and the token ids of the prompt."""


@dataclass(frozen=True)
class PrefilledPrompts:
    """The prefill of prompts; each prompt ends at the last position of the cache.

    ``mask`` [rows, tokens] marks the cache's real tokens; ``logits`` [rows, vocabulary] are those of the token after the
    prompt.
    """

    cache: Any
    mask: Tensor
    logits: Tensor

    def rows(self, places: Sequence[int]) -> "PrefilledPrompts":
        """Return the rows at ``places``, with a cache that can grow independently of this one."""
        chosen = torch.tensor(places, device=self.mask.device)
        cache = shallow_copy(self.cache)
        cache.batch_select_indices(chosen)
        return PrefilledPrompts(cache, self.mask[chosen], self.logits[chosen])


class PromptCache:
    """The prefill of the prompts that several protocols ask one or more edited models."""

    def __init__(self, model: LoadedModel, asked: Sequence[Sequence[tuple[int, Prompt]]]) -> None:
        """Determine which prompts to keep. ``asked`` has one entry for each protocol: its prompts, each with the index of its
        model.
        """
        ids = {prompt: encode(model.tokenizer, prompt) for prompts in asked for _, prompt in prompts}
        by_protocol = [{(owner, ids[prompt]) for owner, prompt in prompts} for prompts in asked]
        times = Counter(key for keys in by_protocol for key in keys)
        self._model = model
        self._wanted = {key for key, count in times.items() if count > 1}
        self._found: dict[Key, tuple[PrefilledPrompts, int]] = {}
        self._owners: Sequence[int] = ()
        self.hits = 0
        """Number of prompts that did not have to be read again."""

    @contextmanager
    def activated(self, owners: Sequence[int]) -> Iterator[None]:
        """Let the model use this cache. Prompt i of the calls inside is asked of the edited model ``owners[i]``."""
        self._owners = owners
        self._model.prompt_cache = self
        try:
            yield
        finally:
            self._model.prompt_cache = None

    def __contains__(self, row_and_prompt: tuple[int, Ids]) -> bool:
        """Return whether prompt ``row`` of the call, given as token ids, has been read already."""
        return self._key(*row_and_prompt) in self._found

    def should_store(self, row: int, prompt: Ids) -> bool:
        """Return whether prompt ``row`` of the call must be kept once it has been read."""
        key = self._key(row, prompt)
        return key in self._wanted and key not in self._found

    def get(self, rows: Sequence[int], prompts: Sequence[Ids]) -> PrefilledPrompts:
        """Return the prefill of prompts that the cache holds."""
        found = [self._found[self._key(row, prompt)] for row, prompt in zip(rows, prompts, strict=True)]
        sources = list({id(read): read for read, _ in found}.values())
        parts = [read.rows([place for source, place in found if source is read]) for read in sources]
        order = [index for read in sources for index, (source, _) in enumerate(found) if source is read]
        self.hits += len(found)
        return parts[0] if len(parts) == 1 else _joined(parts).rows([order.index(index) for index in range(len(found))])

    def store(self, rows: Sequence[int], prompts: Sequence[Ids], read: PrefilledPrompts) -> None:
        """Keep the wanted ones among the prompts; ``read`` has one row for each."""
        if not can_concatenate(read.cache):
            return
        kept = PrefilledPrompts(shallow_copy(read.cache), read.mask, read.logits)
        for place, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
            if self.should_store(row, prompt):
                self._found[self._key(row, prompt)] = kept, place

    def _key(self, row: int, prompt: Ids) -> Key:
        return self._owners[row], tuple(prompt)


def prefill(model: LoadedModel, rows: Sequence[int], prompts: Sequence[Ids]) -> PrefilledPrompts:
    """Return the prefill of prompts, given as token ids: from the prompt cache, or by reading them. ``rows`` holds the prompt
    index of each.
    """
    shared = model.prompt_cache
    if shared is not None and all(pair in shared for pair in zip(rows, prompts, strict=True)):
        return shared.get(rows, prompts)
    ids, mask = pad(prompts, model.padding, "left", model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits, cache = model.forward(ids, mask, positions, logits_to_keep=1, rows=rows)
    read = PrefilledPrompts(cache, mask, logits[:, -1])
    if shared is not None:
        shared.store(rows, prompts, read)
    return read


def only_prompts(cache: Any, lengths: Sequence[int], ends: Sequence[int], logits: Tensor) -> PrefilledPrompts:
    """Return the prefill of the prompts of rows that were continued.

    A row's prompt has ``lengths[row]`` tokens and ends before position ``ends[row]`` of the cache; ``logits`` [rows,
    vocabulary] are those of its last token.
    """
    longest = max(lengths)
    back = torch.arange(longest, 0, -1)
    places = (torch.tensor(ends)[:, None] - back).clamp(min=0)
    mask = (back <= torch.tensor(lengths)[:, None]).long()
    return PrefilledPrompts(gather_tokens(cache, places), mask.to(logits.device), logits)


def _joined(parts: Sequence[PrefilledPrompts]) -> PrefilledPrompts:
    """Return the rows of all ``parts`` one after another."""
    length = max(part.mask.shape[1] for part in parts)
    cache = concatenate_caches([part.cache for part in parts], length)
    return PrefilledPrompts(
        cache, concatenate_masks([p.mask for p in parts], length), torch.cat([p.logits for p in parts])
    )
