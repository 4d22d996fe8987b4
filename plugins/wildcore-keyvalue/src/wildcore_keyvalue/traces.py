"""Records the inputs and outputs of a projection, and the outputs of a whole layer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wildcore.models import LoadedModel, Projection, at_least_float32, pad
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


@contextmanager
def recorded_layer(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Record a layer's output, the residual stream after it, at each forward pass: [batch, tokens, width]."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(_states(output)))
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
    with recorded(model.mlp_output(layer)) as seen:
        _read(model, texts)
    inputs, outputs = seen[0]
    return _at_subjects(inputs, texts), _at_subjects(outputs, texts)


@torch.inference_mode()
def keys_and_states(
    model: LoadedModel, layer: int, module: nn.Module, texts: Sequence[SubjectText]
) -> tuple[Tensor, Tensor]:
    """Return the keys [texts, inputs] of ``layer`` and the output of ``module`` [texts, width], at the subject's last token.

    Both are at least float32.
    """
    with recorded(model.mlp_output(layer)) as seen, recorded_layer(module) as given:
        _read(model, texts)
    return _at_subjects(seen[0][0], texts), _at_subjects(given[0], texts)


def _read(model: LoadedModel, texts: Sequence[SubjectText]) -> None:
    ids, mask = pad([text.joined.token_ids for text in texts], model.padding, "right", model.device)
    model.network(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)


def _at_subjects(states: Tensor, texts: Sequence[SubjectText]) -> Tensor:
    rows = torch.arange(len(texts), device=states.device)
    places = torch.tensor([text.subject_index for text in texts], device=states.device)
    return at_least_float32(states[rows, places]).clone()
