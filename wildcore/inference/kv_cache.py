"""Key-value caches: copied, reduced to rows, joined."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor


def shallow_copy(cache: Any) -> Any:
    """Return a cache that can grow independently of the given one: its layers replace the tensors they share when they grow."""
    copied = copy(cache)
    copied.layers = [copy(layer) for layer in cache.layers]
    return copied


def can_concatenate(cache: Any) -> bool:
    """Return whether rows can be appended to a cache. False with a sliding window that counts positions from the first token."""
    return all(not getattr(layer, "is_sliding", False) for layer in cache.layers)


def concatenate_caches(caches: Sequence[Any], length: int) -> Any:
    """Return one cache with the rows of all ``caches``, each padded on the left to ``length`` tokens. A mask must exclude the
    padding.
    """
    whole = shallow_copy(caches[0])
    for place, layer in enumerate(whole.layers):
        parts = [cache.layers[place] for cache in caches]
        layer.keys = torch.cat([_filled_up(part.keys, length) for part in parts])
        layer.values = torch.cat([_filled_up(part.values, length) for part in parts])
    return whole


def concatenate_masks(masks: Sequence[Tensor], length: int) -> Tensor:
    """Return one mask with the rows of all masks [rows, tokens], padded as in ``concatenate_caches``."""
    return torch.cat([torch.nn.functional.pad(mask, (length - mask.shape[1], 0)) for mask in masks])


def gather_tokens(cache: Any, places: Tensor) -> Any:
    """Return a cache with only the tokens at ``places`` [rows, tokens] of each row."""
    cut = shallow_copy(cache)
    for layer in cut.layers:
        rows, here = torch.arange(len(places), device=layer.keys.device)[:, None], places.to(layer.keys.device)
        layer.keys = layer.keys[rows, :, here].transpose(1, 2)
        layer.values = layer.values[rows, :, here].transpose(1, 2)
    return cut


def _filled_up(states: Tensor, length: int) -> Tensor:
    """Return cached states [rows, heads, tokens, width] padded on the left to ``length`` tokens."""
    return torch.nn.functional.pad(states, (0, 0, length - states.shape[-2], 0))
