"""Batched decoding with a key-value cache: the loop that every autoregressive generation strategy shares.

Prompts of similar length are decoded together. Finished rows leave the batch, the cache is made smaller, and waiting prompts
take their places. Only ``choose`` decides on tokens: the model's generation config (sampling, penalties, forced tokens) is
ignored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wildcore.inference.cuda_graphs import GraphedDecoder, can_use_graph
from wildcore.inference.kv_cache import can_concatenate, concatenate_caches, concatenate_masks
from wildcore.inference.prompt_cache import prefill
from wildcore.interfaces import StopRule
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import encode
from wildcore.types import Output, Prompt, StopReason

TokenSelector = Callable[[Tensor, Sequence[int]], Tensor]
"""A function from the logits of the next token [rows, vocabulary] and the prompt index of each row to a token id for each row
[rows]."""

COMPACT_AT = 0.25
"""Share of a batch that must have finished before the batch is made smaller: shrinking the cache copies all rows that
remain."""

MIN_GRAPHED_STEPS = 4
"""Fewest remaining steps for which recording them pays: recording takes about as long as two ordinary steps."""


def greedy(logits: Tensor, rows: Sequence[int]) -> Tensor:
    """Choose the most probable token."""
    return logits.argmax(-1)


def decode(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    limits: Sequence[int],
    stop: StopRule | None,
    choose: TokenSelector = greedy,
    at_limit: StopReason = "max-new-tokens",
) -> list[Output]:
    """Continue every prompt until ``stop`` is true, the sequence ends, or ``limits[row]`` tokens have been generated.

    Without ``stop``, neither a rule nor the end-of-sequence token ends a row. A row also ends when the model's context is
    full. At most ``model.max_batch_size`` prompts are in the batch at a time.
    """
    return decode_tokens(model, [encode(model.tokenizer, one) for one in prompts], limits, stop, choose, at_limit)


@torch.inference_mode()
def decode_tokens(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    stop: StopRule | None,
    choose: TokenSelector = greedy,
    at_limit: StopReason = "max-new-tokens",
) -> list[Output]:
    """Continue prompts that are given as token ids, as ``decode`` continues texts."""
    rows = [
        _Row(index, tuple(prompt), limit) for index, (prompt, limit) in enumerate(zip(prompts, limits, strict=True))
    ]
    _Decoding(model, stop, choose, at_limit).run(sorted(rows, key=lambda row: len(row.prompt_ids), reverse=True))
    return [row.output() for row in rows]


@dataclass
class _Row:
    """One prompt and the tokens generated for it."""

    index: int
    prompt_ids: tuple[int, ...]
    limit: int
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    stop_reason: StopReason | None = None

    def output(self) -> Output:
        assert self.stop_reason is not None
        return Output(text=self.text, token_ids=tuple(self.token_ids), stop_reason=self.stop_reason)


@dataclass
class _Batch:
    """Rows being decoded, padded on the left; each counts its positions from its own first token.

    ``mask`` [rows, cached tokens] marks real tokens of the cache; ``ids`` and ``positions`` [rows, 1] are the next input.
    """

    rows: list[_Row]
    cache: Any
    mask: Tensor
    ids: Tensor
    positions: Tensor

    def keep(self, places: list[int]) -> None:
        """Remove all rows except those at ``places``."""
        chosen = torch.tensor(places, device=self.ids.device)
        self.rows = [self.rows[place] for place in places]
        self.mask, self.ids, self.positions = self.mask[chosen], self.ids[chosen], self.positions[chosen]
        self.cache.batch_select_indices(chosen)

    def take_in(self, other: "_Batch") -> None:
        """Append another batch's rows. Needs a cache for which ``can_concatenate`` is true."""
        length = max(self.mask.shape[1], other.mask.shape[1])
        self.cache = concatenate_caches([self.cache, other.cache], length)
        self.mask = concatenate_masks([self.mask, other.mask], length)
        self.ids, self.positions = torch.cat([self.ids, other.ids]), torch.cat([self.positions, other.positions])
        self.rows += other.rows


class _Decoding:
    def __init__(self, model: LoadedModel, stop: StopRule | None, choose: TokenSelector, at_limit: StopReason) -> None:
        self.model, self.stop, self.choose, self.at_limit = model, stop, choose, at_limit

    def run(self, waiting: list[_Row]) -> None:
        """Decode all rows. ``waiting`` is emptied from its end."""
        places = self.model.max_batch_size or len(waiting)
        batch: _Batch | None = None
        while waiting or batch:
            if waiting and (batch is None or self._has_room(batch, places)):
                count = places - (len(batch.rows) if batch else 0)
                batch = self._joined(batch, self._begin(waiting[-count:]))
                del waiting[-count:]
            elif batch is not None:
                self._go_on(batch, places, bool(waiting))
            batch = self._without_ended(batch, places, bool(waiting))

    def _has_room(self, batch: _Batch, places: int) -> bool:
        return can_concatenate(batch.cache) and len(batch.rows) <= places * (1 - COMPACT_AT)

    def _begin(self, rows: list[_Row]) -> _Batch:
        """Prefill the prompts of ``rows`` and choose their first tokens."""
        indices = [row.index for row in rows]
        read = prefill(self.model, indices, [row.prompt_ids for row in rows])
        chosen = self.choose(read.logits, indices)
        self._take(rows, chosen.tolist())
        last_places = read.mask.sum(1, keepdim=True) - 1
        return _Batch(rows, read.cache, read.mask, chosen[:, None], _next(last_places, self.model.max_length))

    def _joined(self, batch: _Batch | None, new: _Batch) -> _Batch:
        if batch is None:
            return new
        batch.take_in(new)
        return batch

    def _go_on(self, batch: _Batch, places: int, others_wait: bool) -> None:
        """Take one step, or, with a CUDA graph or buffers of fixed length, all steps until the rows change."""
        left = max(row.limit - len(row.token_ids) for row in batch.rows if row.stop_reason is None)
        if left >= MIN_GRAPHED_STEPS and can_use_graph(self.model, batch.cache):
            self._steps(batch, left, places, others_wait)
        else:
            self._step(batch)

    def _step(self, batch: _Batch) -> None:
        mask = torch.cat([batch.mask, torch.ones_like(batch.ids)], dim=1)
        indices = [row.index for row in batch.rows]
        logits, batch.cache = self.model.forward(batch.ids, mask, batch.positions, batch.cache, 1, indices)
        chosen = self.choose(logits[:, -1], indices)
        batch.mask, batch.ids = mask, chosen[:, None]
        batch.positions = _next(batch.positions, self.model.max_length)
        self._take(batch.rows, chosen.tolist())

    def _steps(self, batch: _Batch, most: int, places: int, others_wait: bool) -> None:
        """Take at most ``most`` steps, until all rows have finished or enough have finished for waiting prompts to enter.

        Finished rows stay in the batch: recording a smaller batch takes longer than computing them. While the device takes a
        step, the host looks at the tokens of the previous step.
        """
        indices = [row.index for row in batch.rows]
        fixed = GraphedDecoder(self.model, batch.cache, batch.mask, batch.ids, batch.positions, most, indices)
        behind: _AsyncCopy | None = None
        for _ in range(most):
            chosen = self.choose(fixed.step(), indices)
            fixed.set_next_tokens(chosen)
            arriving = _AsyncCopy(chosen)
            if behind is not None:
                self._take(batch.rows, behind.token_ids())
            behind = arriving
            if all(row.stop_reason for row in batch.rows):
                break
            if others_wait and self._are_to_leave(batch.rows, places, others_wait):
                break
        if behind is not None:
            self._take(batch.rows, behind.token_ids())
        batch.cache, batch.mask = fixed.cache(), fixed.mask_of_all()
        batch.ids, batch.positions = fixed.ids, fixed.positions

    def _take(self, rows: Sequence[_Row], token_ids: Sequence[int]) -> None:
        """Append its next token to every unfinished row, and check whether the row ends with it."""
        for row, token in zip(rows, token_ids, strict=True):
            if row.stop_reason is None:
                row.token_ids.append(token)
                row.stop_reason = self._reason_to_stop(row)

    def _reason_to_stop(self, row: _Row) -> StopReason | None:
        """Return why the row ends with the token just added (None: it does not end); updates the row's text."""
        model = self.model
        if self.stop and row.token_ids[-1] in model.end_of_sequence:
            return "end-of-sequence"
        row.text = model.text_of(row.token_ids)
        if self.stop and self.stop(row.index, row.text, len(row.token_ids)):
            return "stop-rule"
        if len(row.token_ids) >= row.limit:
            return self.at_limit
        full = model.max_length is not None and len(row.prompt_ids) + len(row.token_ids) >= model.max_length
        return "context-full" if full else None

    def _without_ended(self, batch: _Batch | None, places: int, others_wait: bool) -> _Batch | None:
        """Remove finished rows once there are enough of them. Returns None if no row is left."""
        if batch is None:
            return None
        going_on = [place for place, row in enumerate(batch.rows) if row.stop_reason is None]
        if not going_on:
            return None
        if self._are_to_leave(batch.rows, places, others_wait):
            batch.keep(going_on)
        return batch

    def _are_to_leave(self, rows: Sequence[_Row], places: int, others_wait: bool) -> bool:
        """Return whether enough rows have finished to make the batch smaller."""
        ended = sum(row.stop_reason is not None for row in rows)
        return ended > 0 and ended >= COMPACT_AT * (places if others_wait else len(rows))


class _AsyncCopy:
    """Token ids being copied from the device to the host."""

    def __init__(self, chosen: Tensor) -> None:
        self._here = chosen.to("cpu", non_blocking=True)
        self._event = torch.cuda.Event() if chosen.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        if self._event is not None:
            self._event.record(torch.cuda.current_stream(chosen.device))

    def token_ids(self) -> list[int]:
        """Return the ids; waits until they have arrived."""
        if self._event is not None:
            self._event.synchronize()
        ids: list[int] = self._here.tolist()
        return ids


def _next(positions: Tensor, max_length: int | None) -> Tensor:
    """Return the next positions [rows, 1]. A finished row stays in the batch and must not exceed the last position."""
    following = positions + 1
    return following if max_length is None else following.clamp(max=max_length - 1)
