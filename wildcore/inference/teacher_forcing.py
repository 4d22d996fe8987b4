"""Teacher forcing: the logits that predict a target whose earlier tokens are given, for many rows at a time."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from wildcore.inference.kv_cache import can_concatenate
from wildcore.inference.prompt_cache import PrefilledPrompts, only_prompts
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import TokenisedPair, pad

T = TypeVar("T")


@torch.inference_mode()
def map_target_logits(
    model: LoadedModel,
    rows: Sequence[TokenisedPair],
    reduce: Callable[[int, Tensor], T],
    prompts: Sequence[int] | None = None,
) -> list[T]:
    """Return for each row the result of ``reduce(row, logits)``; the logits [target tokens, vocabulary] predict the row's
    target.

    Rows of similar length run together, at most ``model.max_batch_size``; only the targets' logits are computed. A row with
    a target may have one token more than the model can read, because its last token is only predicted. ``prompts``
    holds the prompt index of each row (None: row i belongs to prompt i). A prompt in the prompt cache is not read again, see
    ``wildcore.inference.prompt_cache``.
    """
    results: dict[int, T] = {}
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].token_ids))
    size = model.max_batch_size or max(1, len(rows))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        owners = [i if prompts is None else prompts[i] for i in batch]
        for index, logits in zip(batch, _target_logits(model, [rows[i] for i in batch], owners), strict=True):
            results[index] = reduce(index, logits)
    return [results[index] for index in range(len(rows))]


def _target_logits(model: LoadedModel, rows: Sequence[TokenisedPair], owners: Sequence[int]) -> list[Tensor]:
    """Return the logits [target tokens, vocabulary] of each row; ``owners`` holds the prompt index of each."""
    shared, prompts = model.prompt_cache, [row.token_ids[: row.prompt_length] for row in rows]
    if shared is not None and all(pair in shared for pair in zip(owners, prompts, strict=True)):
        return _behind_prompts(model, rows, owners, shared.get(owners, prompts))
    logits, cache = _with_prompts(model, rows, owners)
    wanted = shared is not None and any(
        shared.should_store(owner, prompt) for owner, prompt in zip(owners, prompts, strict=True)
    )
    if shared is not None and wanted and can_concatenate(cache):
        shared.store(owners, prompts, _prompts_of(rows, cache, logits))
    longest = max(len(row.target_ids) for row in rows)
    return [logits[place, longest - len(row.target_ids) : longest] for place, row in enumerate(rows)]


def _with_prompts(model: LoadedModel, rows: Sequence[TokenisedPair], owners: Sequence[int]) -> tuple[Tensor, Any]:
    """Read whole rows, padded on the left, so that all targets are at the end.

    Return the logits [rows, tokens, vocabulary] from the last token before the longest target on, and the cache. The last
    token of the rows, which no target needs, is left out of them if the model could not read it.
    """
    ids, mask = pad([row.token_ids for row in rows], model.padding, "left", model.device)
    longest = max(len(row.target_ids) for row in rows)
    lengths, kept = [row.prompt_length for row in rows], longest + 1
    if model.max_length is not None and ids.shape[1] > model.max_length and all(row.target_ids for row in rows):
        ids, mask, kept = ids[:, :-1], mask[:, :-1], longest
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return model.forward(ids, mask, positions, logits_to_keep=kept, rows=owners, prompt_lengths=lengths)


def _prompts_of(rows: Sequence[TokenisedPair], cache: Any, logits: Tensor) -> PrefilledPrompts:
    """Return the prefill of the prompts of rows that were read whole. Each has logits after it, even if no target follows."""
    width = max(len(row.token_ids) for row in rows)
    longest = max(len(row.target_ids) for row in rows)
    ends = [width - len(row.target_ids) for row in rows]
    behind = logits[range(len(rows)), [longest - len(row.target_ids) for row in rows]]
    return only_prompts(cache, [row.prompt_length for row in rows], ends, behind)


def _behind_prompts(
    model: LoadedModel, rows: Sequence[TokenisedPair], owners: Sequence[int], read: PrefilledPrompts
) -> list[Tensor]:
    """Read only the targets, padded on the right, after prompts that were read before."""
    logits = read.logits[:, None]
    rest = [row.target_ids[:-1] for row in rows]
    if any(rest):
        ids, mask = pad(rest, model.padding, "right", model.device)
        positions = read.mask.sum(1, keepdim=True) + torch.arange(ids.shape[1], device=model.device)
        bounded = positions if model.max_length is None else positions.clamp(max=model.max_length - 1)
        behind, _ = model.forward(ids, torch.cat([read.mask, mask], dim=1), bounded, read.cache, rows=owners)
        logits = torch.cat([logits, behind], dim=1)
    return [logits[place, : len(row.target_ids)] for place, row in enumerate(rows)]
