"""Greedy decoding, batched, with a key-value cache.

Nothing but the arg-max decides: the model's generation config (sampling, penalties, forced tokens) plays no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wildcore import Gold, Output, Prompt, StopRule
from wildcore.models import LoadedModel
from wildcore.tokens import encode, pad
from wildcore.types import StopReason


@dataclass
class _Row:
    prompt_length: int
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    stop_reason: StopReason | None = None


class Autoregressive:
    """Greedy decoding until the stop rule, the end of sequence, ``max_new_tokens`` or the end of the context length."""

    reads_gold = False

    def __init__(self, max_new_tokens: int) -> None:
        self.max_new_tokens = max_new_tokens

    @torch.inference_mode()
    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[Output]:
        """Decode all prompts together: rows padded on the left, each counting its positions from its own first token."""
        encoded = [encode(model.tokenizer, prompt) for prompt in prompts]
        rows = [_Row(len(ids)) for ids in encoded]
        ids, mask = pad(encoded, model.padding, "left", model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache: Any = None
        while True:
            step = model.network(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = step.past_key_values
            chosen: Tensor = step.logits[:, -1].argmax(-1)
            for index, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
                self._extend(model, row, token, index, stop)
            if all(row.stop_reason for row in rows):
                return [_output(row) for row in rows]
            ids = chosen[:, None]
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            positions = _next(positions, model.max_length)

    def _extend(self, model: LoadedModel, row: _Row, token: int, index: int, stop: StopRule) -> None:
        if row.stop_reason:
            return
        row.token_ids.append(token)
        if token in model.end_of_sequence:
            row.stop_reason = "end-of-sequence"
            return
        row.text = model.tokenizer.decode(row.token_ids, skip_special_tokens=True)
        if stop(index, row.text, len(row.token_ids)):
            row.stop_reason = "stop-rule"
        elif len(row.token_ids) >= self.max_new_tokens:
            row.stop_reason = "max-new-tokens"
        elif model.max_length is not None and row.prompt_length + len(row.token_ids) >= model.max_length:
            row.stop_reason = "context-full"


def _next(positions: Tensor, max_length: int | None) -> Tensor:
    """Return the next position of each row; a row that has ended stays in the batch and must not run off the last one."""
    following = positions[:, -1:] + 1
    return following if max_length is None else following.clamp(max=max_length - 1)


def _output(row: _Row) -> Output:
    assert row.stop_reason is not None
    return Output(text=row.text, token_ids=tuple(row.token_ids), stop_reason=row.stop_reason)
