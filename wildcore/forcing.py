"""Teacher forcing: the logits that predict a target whose earlier tokens are given, many rows at a time."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from wildcore.models import LoadedModel
from wildcore.tokens import Joined, pad

T = TypeVar("T")


@torch.inference_mode()
def over_targets(
    model: LoadedModel,
    rows: Sequence[Joined],
    take: Callable[[int, Tensor], T],
    prompts: Sequence[int] | None = None,
) -> list[T]:
    """Return, for each row, what ``take`` makes of (row, logits [target tokens, vocabulary]): those that predict its target.

    Rows of like length run together, at most ``model.rows_at_once``; only the targets' logits are computed. ``prompts`` says
    which of the prompts in work each row belongs to; left out, row i belongs to prompt i.
    """
    results: dict[int, T] = {}
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].token_ids))
    size = model.rows_at_once or max(1, len(rows))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        owners = [i if prompts is None else prompts[i] for i in batch]
        for index, logits in zip(batch, _target_logits(model, [rows[i] for i in batch], owners), strict=True):
            results[index] = take(index, logits)
    return [results[index] for index in range(len(rows))]


def _target_logits(model: LoadedModel, rows: Sequence[Joined], prompts: Sequence[int]) -> list[Tensor]:
    """Run rows padded on the left, so that all targets stand at the end."""
    ids, mask = pad([row.token_ids for row in rows], model.padding, "left", model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    longest = max(len(row.target_ids) for row in rows)
    lengths = [row.prompt_length for row in rows]
    logits, _ = model.read(ids, mask, positions, logits_to_keep=longest + 1, rows=prompts, prompt_lengths=lengths)
    return [logits[place, longest - len(row.target_ids) : longest] for place, row in enumerate(rows)]
