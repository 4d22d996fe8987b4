"""Runs a model in the simplest way, to check that caching, batches and padding do not change its answers."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from wildcore.inference.decoding import decode
from wildcore.inference.teacher_forcing import map_target_logits
from wildcore.interfaces import Patch
from wildcore.models.loaded import LoadedModel
from wildcore.models.precision import at_least_float32
from wildcore.models.tokens import encode, pad, training_pair
from wildcore.types import EditRequest, Prompt

FEW = 6
"""Default number of tokens to decode."""


def decoded(model: LoadedModel, prompts: Sequence[Prompt], limits: Sequence[int] | int = FEW) -> list[tuple[int, ...]]:
    """Return the token ids with which ``wildcore.inference`` continues each prompt; ``limits`` [prompts] are their numbers."""
    limits = [limits] * len(prompts) if isinstance(limits, int) else limits
    return [output.token_ids for output in decode(model, prompts, limits, None)]


@torch.inference_mode()
def decode_without_cache(model: LoadedModel, prompt: Prompt, count: int = FEW) -> tuple[int, ...]:
    """Decode one prompt with a whole pass for every token: no cache, no padding, no batch."""
    ids = list(encode(model.tokenizer, prompt))
    start = len(ids)
    while len(ids) < start + count:
        row = torch.tensor([ids], device=model.device)
        positions = torch.arange(len(ids), device=model.device)[None]
        logits, _ = model.forward(row, torch.ones_like(row), positions, prompt_lengths=[start])
        ids.append(int(logits[0, -1].argmax()))
    return tuple(ids[start:])


@torch.inference_mode()
def last_logits(model: LoadedModel, prompts: Sequence[Prompt], side: str) -> list[Tensor]:
    """Return the logits [vocabulary] of the token after each prompt, from one batch padded on ``side``."""
    ids, mask = pad([encode(model.tokenizer, prompt) for prompt in prompts], model.padding, side, model.device)
    logits, _ = model.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))
    return [logits[row][mask[row].bool()][-1] for row in range(len(prompts))]


def target_loss(model: LoadedModel, request: EditRequest) -> float:
    """Return the mean negative log-probability of a request's target after its prompt."""
    row = training_pair(model, request)
    labels = torch.tensor(row.target_ids, device=model.device)
    (found,) = map_target_logits(model, [row], lambda _, logits: cross_entropy(at_least_float32(logits), labels))
    return float(found)


def check_answers_ignore_batching(model: LoadedModel, patch: Patch, prompts: Sequence[Prompt]) -> None:
    """Check that answers under ``patch`` do not depend on the KV cache, on other rows, on their order, or on the side of the
    padding.

    Raises ``AssertionError`` if they do, or if ``patch`` changes none of the answers, since the check is then meaningless.
    """
    unedited, max_batch_size = decoded(model, prompts), model.max_batch_size
    try:
        with patch.applied(model):
            expected = [decode_without_cache(model, prompt) for prompt in prompts]
            assert expected != unedited, "the patch changes no answer"
            for model.max_batch_size in (None, 1, 3):
                assert decoded(model, prompts) == expected
                assert decoded(model, prompts[::-1]) == expected[::-1]
            left, right = (last_logits(model, prompts, side) for side in ("left", "right"))
            alone = [last_logits(model, [prompt], "left")[0] for prompt in prompts]
    finally:
        model.max_batch_size = max_batch_size
    for one, other, by_itself in zip(left, right, alone, strict=True):
        torch.testing.assert_close(one, by_itself, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(other, by_itself, rtol=1e-3, atol=1e-3)
