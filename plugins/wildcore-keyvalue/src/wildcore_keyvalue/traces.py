"""Records the inputs and outputs of a projection, and the outputs of a whole layer, at some tokens.

The tokens are copied at once, because some networks change a module's output in place.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from wildcore.models import LoadedModel, Projection, at_least_float32, ending_after, pad
from wildcore_keyvalue.prompts import SubjectText

Take = Callable[[Tensor], Tensor]
"""Returns a copy of what is wanted of states [batch, tokens, width]."""


@contextmanager
def recorded(projection: Projection, take: Take) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Record what ``take`` returns of a projection's input and output at each forward pass."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = projection.module.register_forward_hook(
        lambda module, inputs, output: seen.append((take(inputs[0]), take(output)))
    )
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def recorded_layer(layer: nn.Module, take: Take) -> Iterator[list[Tensor]]:
    """Record what ``take`` returns of a layer's output, the residual stream after it, at each forward pass."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(take(_states(output))))
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def adding_to_first_token(layer: nn.Module, added: Tensor) -> Iterator[None]:
    """Add ``added`` [batch, width] to a layer's output for the first token of each row."""

    def add(module: nn.Module, inputs: Any, output: Any) -> Any:
        states = _states(output).clone()
        states[:, 0] += added.to(states)
        return (states, *output[1:]) if isinstance(output, tuple) else states

    handle = layer.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _states(output: Any) -> Tensor:
    """Return the hidden states in a layer's output: some layers return a tuple that begins with them."""
    states: Tensor = output[0] if isinstance(output, tuple) else output
    return states


@torch.inference_mode()
def keys_and_values(model: LoadedModel, layer: int, texts: Sequence[SubjectText]) -> tuple[Tensor, Tensor]:
    """Return the keys [texts, inputs] and values [texts, outputs] of a layer at the subject's last token, at least float32."""
    projection = model.mlp_output(layer)
    with recorded(projection, partial(_at_subjects, texts)) as seen, ending_after(projection.module):
        _read(model, texts)
    return seen[0]


@torch.inference_mode()
def keys_and_states(
    model: LoadedModel, layer: int, module: nn.Module, texts: Sequence[SubjectText]
) -> tuple[Tensor, Tensor]:
    """Return the keys [texts, inputs] of ``layer`` and the output of ``module`` [texts, width], at the subject's last token.

    ``module`` must not lie below ``layer``. Both are at least float32.
    """
    take = partial(_at_subjects, texts)
    with recorded(model.mlp_output(layer), take) as seen, recorded_layer(module, take) as given, ending_after(module):
        _read(model, texts)
    return seen[0][0], given[0]


def _read(model: LoadedModel, texts: Sequence[SubjectText]) -> None:
    ids, mask = pad([text.joined.token_ids for text in texts], model.padding, "right", model.device)
    model.network(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)


def _at_subjects(texts: Sequence[SubjectText], states: Tensor) -> Tensor:
    rows = torch.arange(len(texts), device=states.device)
    places = torch.tensor([text.subject_index for text in texts], device=states.device)
    return at_least_float32(states[rows, places]).clone()
