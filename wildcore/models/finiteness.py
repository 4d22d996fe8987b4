"""Whether an unedited model computes finite numbers. If it does not, no edit of it can be made or evaluated."""

from collections.abc import Sequence

import torch

from wildcore.errors import Message, Option, UserError
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import encode
from wildcore.types import Prompt

TEXT = "The capital of Canada is"
"""What a model reads if no prompts are known yet."""
MOST_TOKENS = 256


def require_finite_logits(model: LoadedModel, prompts: Sequence[str] = (TEXT,)) -> None:
    """Raise ``UserError`` if the model's logits are not finite after a token of ``prompts``, which are read as one text.

    At most ``MOST_TOKENS`` tokens are read, in one pass. A logit of minus infinity only excludes its token.
    """
    text = " ".join(prompts)[: 20 * MOST_TOKENS]
    ids = [token for token in encode(model.tokenizer, Prompt(text=text)) if token < model.embeddings]
    ids = ids[: min(MOST_TOKENS, model.max_length or MOST_TOKENS)]
    if not ids or model.carries_patches:
        return
    batch = torch.tensor([ids], device=model.device)
    with torch.no_grad():
        logits, _ = model.forward(batch, torch.ones_like(batch), torch.arange(len(ids), device=model.device)[None])
    if bool((logits.isnan() | (logits == float("inf"))).any()):
        dtype = str(model.dtype).removeprefix("torch.")
        raise UserError(
            f"the unedited model's logits are not finite, at dtype {dtype}{_where(model)}",
            Option("model", model.request.name),
            _way_out(model.dtype),
        )


def _where(model: LoadedModel) -> str:
    """Return which weight is not finite; empty if all are."""
    for name, parameter in model.network.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f" (its weight {name} is not finite)"
    return ""


def _way_out(dtype: torch.dtype) -> Message:
    if dtype.itemsize < 4:
        return ("choose a dtype with a wider range, such as ", Option("dtype", "float32"))
    return "take a model whose weights are sound"
