"""What goes into a projection and comes out of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from wildcore.models import LoadedModel, Projection
from wildcore.tokens import pad
from wildcore_keyvalue.prompts import SubjectText


@contextmanager
def recorded(projection: Projection) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Record (input, output) of a projection at each forward pass, [batch, tokens, width] each."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = projection.module.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    try:
        yield seen
    finally:
        handle.remove()


@torch.inference_mode()
def keys_and_values(model: LoadedModel, layer: int, texts: Sequence[SubjectText]) -> tuple[Tensor, Tensor]:
    """Return the keys [texts, inputs] and values [texts, outputs] of a layer at the subject's last token, in float32."""
    projection = model.mlp_output(layer)
    ids, mask = pad([text.joined.token_ids for text in texts], model.padding, "right", model.device)
    with recorded(projection) as seen:
        model.network(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
    inputs, outputs = seen[0]
    rows = torch.arange(len(texts), device=inputs.device)
    places = torch.tensor([text.subject_index for text in texts], device=inputs.device)
    return inputs[rows, places].float().clone(), outputs[rows, places].float().clone()
