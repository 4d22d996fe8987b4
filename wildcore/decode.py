"""Decoding, batched, with a key-value cache: the loop that every autoregressive generation strategy shares.

Nothing but ``choose`` decides: the model's generation config (sampling, penalties, forced tokens) plays no part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wildcore.interfaces import StopRule
from wildcore.models import LoadedModel
from wildcore.tokens import encode, pad
from wildcore.types import Output, Prompt, StopReason

Choose = Callable[[Tensor], Tensor]
"""From the logits of the next token [rows, vocabulary] to a token id for each row [rows]."""


@dataclass
class _Row:
    prompt_length: int
    limit: int
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    stop_reason: StopReason | None = None


def greedy(logits: Tensor) -> Tensor:
    """Choose the most probable token."""
    return logits.argmax(-1)


@torch.inference_mode()
def decode(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    limits: Sequence[int],
    stop: StopRule | None,
    choose: Choose = greedy,
    at_limit: StopReason = "max-new-tokens",
) -> list[Output]:
    """Continue all prompts together, each until ``stop`` says so, the sequence ends, or it has ``limits[row]`` new tokens.

    Without ``stop`` neither a rule nor the end-of-sequence token ends a row. A row also ends where the model's context is
    full. Rows are padded on the left, each counting its positions from its own first token.
    """
    encoded = [encode(model.tokenizer, prompt) for prompt in prompts]
    rows = [_Row(len(ids), limit) for ids, limit in zip(encoded, limits, strict=True)]
    ids, mask = pad(encoded, model.padding, "left", model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache: Any = None
    while True:
        logits, cache = model.read(ids, mask, positions, cache, logits_to_keep=1)
        chosen = choose(logits[:, -1])
        for index, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            if row.stop_reason is None:
                row.token_ids.append(token)
                row.stop_reason = _reason_to_stop(model, row, index, stop, at_limit)
        if all(row.stop_reason for row in rows):
            return [_output(row) for row in rows]
        ids = chosen[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        positions = _next(positions, model.max_length)


def _reason_to_stop(
    model: LoadedModel, row: _Row, index: int, stop: StopRule | None, at_limit: StopReason
) -> StopReason | None:
    """Say why the row ends with the token just added, if it does; brings its text up to date."""
    if stop and row.token_ids[-1] in model.end_of_sequence:
        return "end-of-sequence"
    row.text = model.tokenizer.decode(row.token_ids, skip_special_tokens=True)
    if stop and stop(index, row.text, len(row.token_ids)):
        return "stop-rule"
    if len(row.token_ids) >= row.limit:
        return at_limit
    full = model.max_length is not None and row.prompt_length + len(row.token_ids) >= model.max_length
    return "context-full" if full else None


def _next(positions: Tensor, max_length: int | None) -> Tensor:
    """Return the next position of each row; a row that has ended stays in the batch and must not run off the last one."""
    following = positions[:, -1:] + 1
    return following if max_length is None else following.clamp(max=max_length - 1)


def _output(row: _Row) -> Output:
    assert row.stop_reason is not None
    return Output(text=row.text, token_ids=tuple(row.token_ids), stop_reason=row.stop_reason)
