"""The conformance check of a model family: what ``LoadedModel`` and partial passes compute, against the model's own pass.

from wildcore.testing.families import check_family
from wildcore.testing.networks import random_model

def test_my_family():
    check_family(random_model(MY_FAMILY, AutoConfig.for_model("my-type", hidden_size=32, ...)))
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wildcore.inference.partial_forward import PartialForward
from wildcore.models.checks import require_editable
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import pad
from wildcore.patches.weights import Dense, WeightPatch

ROWS = ((5, 17, 9, 30, 12, 8), (7, 3, 21))
"""Ids of two texts of different length."""


@torch.no_grad()
def check_family(model: LoadedModel, tolerance: float = 1e-4) -> None:
    """Check a model of a family, best a small one with random weights in float32. Raises ``AssertionError`` for a difference.

    The parts that the family names exist and multiply by their weights. Final hidden states and the head give the model's own
    logits. Reading with padding and a cache gives the logits of each text alone. In each layer, a change of the MLP output's
    weight changes the model, and a partial pass from that layer on gives the same final hidden states as the whole pass,
    before and after the change.
    """
    require_editable(model.network, model.family, model.request.name)
    ids, mask = pad(ROWS, model.padding, "left", model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    _check_head(model, tolerance)
    _check_batches(model, ids, mask, positions, tolerance)
    for layer in range(len(model.layers)):
        _check_layer(model, layer, ids, mask, positions, tolerance)


def _check_head(model: LoadedModel, tolerance: float) -> None:
    for row in ROWS:
        ids = torch.tensor([row], device=model.device)
        with _seen(model.network.get_submodule(model.family.final_norm)) as seen:
            own = model.network(input_ids=ids).logits
        _require_close(model.head(seen[-1]), own, tolerance, "logits of the head")
        _require_close(model.head(seen[-1][0, -1]), own[0, -1], tolerance, "logits of the head for one token")


def _check_batches(model: LoadedModel, ids: Tensor, mask: Tensor, positions: Tensor, tolerance: float) -> None:
    """Compare a padded batch, read in two steps with a cache, with each text read alone."""
    step = ids.shape[1] - 1
    first, cache = model.forward(ids[:, :step], mask[:, :step], positions[:, :step])
    last, _ = model.forward(ids[:, step:], mask, positions[:, step:], cache)
    joined = torch.cat([first, last], dim=1)
    for index, row in enumerate(ROWS):
        alone = model.network(input_ids=torch.tensor([row], device=model.device)).logits[0]
        _require_close(joined[index, -len(row) :], alone, tolerance, f"logits of text {index} in a padded batch")


def _check_layer(
    model: LoadedModel, layer: int, ids: Tensor, mask: Tensor, positions: Tensor, tolerance: float
) -> None:
    real = mask.bool()
    projection = model.mlp_output(layer)
    generator = torch.Generator().manual_seed(layer)
    size = projection.weight.float().std()
    noise = torch.randn(projection.weight.shape, generator=generator).to(model.device) * size
    before = _final_states(model, ids, mask, positions)
    partial = PartialForward(model, layer, ids, mask, positions)
    _require_close(partial.hidden[real], before[real], tolerance, f"layer {layer}: recorded states")
    _require_close(partial.run(partial.outputs)[real], before[real], tolerance, f"layer {layer}: a partial pass")
    with WeightPatch({projection.name: Dense(noise)}).applied(model):
        after = _final_states(model, ids, mask, positions)
        changed = partial.run()[real]
    _require_close(changed, after[real], tolerance, f"layer {layer}: a partial pass under a change")
    effect = (after[real] - before[real]).abs().max()
    assert effect > 100 * tolerance, f"layer {layer}: the MLP output's weight has no effect on the model ({effect:.2g})"


def _final_states(model: LoadedModel, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
    """Return the final hidden states as the whole network computes them."""
    with _seen(model.network.get_submodule(model.family.final_norm)) as seen:
        model.network(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    return seen[-1]


@contextmanager
def _seen(module: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that is filled with the outputs of ``module``."""
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handle = module.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _require_close(given: Tensor, wanted: Tensor, tolerance: float, what: str) -> None:
    assert given.shape == wanted.shape, f"{what}: of shape {tuple(given.shape)} instead of {tuple(wanted.shape)}"
    difference = (given.float() - wanted.float()).abs().max()
    assert difference <= tolerance * wanted.abs().max(), f"{what}: differ by {difference:.2g}"
