"""The gradient of a request's loss by weights, in factored form.

The gradient by a weight W [outputs, inputs] is the sum over tokens of d x^T, where x is the projection's input and d the
gradient of the loss by its output (Mitchell et al. 2022, section 3.1). The sum itself is never computed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wildcore.models import LoadedModel, TokenisedPair, at_least_float32
from wildcore_mend.asking import Asked


@dataclass(frozen=True)
class Factors:
    """The factors of one request's gradient by one weight: ``inputs`` x [tokens, inputs] and ``deltas`` d [tokens, outputs].

    Both are at least float32. Tokens whose part of the gradient is zero are left out.
    """

    inputs: Tensor
    deltas: Tensor


def edited_modules(model: LoadedModel, layers: Sequence[int]) -> tuple[str, ...]:
    """Return the names of all MLP projections of ``layers``."""
    paths = (*model.family.mlp_input, model.family.mlp_output)
    return tuple(f"{model.family.layers}.{layer}.{path}" for layer in layers for path in paths)


def gradients(
    model: LoadedModel,
    names: Sequence[str],
    rows: Sequence[TokenisedPair],
    begin: bool,
    mean: bool = False,
    on_losses: Callable[[list[float]], None] | None = None,
) -> list[dict[str, Factors]]:
    """Return, for each row, the gradient of its loss by the weights of the modules ``names``.

    A row's loss is the mean negative log-probability of its target's tokens; with ``mean``, its part of the mean over the
    tokens of all rows. All are computed in one forward and one backward pass. ``on_losses`` is given each row's own mean.
    """
    asked = Asked.of(model, rows, begin)
    with torch.enable_grad(), _recording(model, names) as seen:
        losses = cross_entropy(asked.logits(model), asked.wanted, reduction="none")
        own = asked.mean_of_rows(losses)
        if on_losses is not None:
            on_losses(own.tolist())
        loss = losses.mean() if mean else own.sum()
        deltas = torch.autograd.grad(loss, [seen[name][1] for name in names])
    read = [(seen[name][0], delta) for name, delta in zip(names, deltas, strict=True)]
    return [
        {name: _factors(x[i], d[i], asked.read[i]) for name, (x, d) in zip(names, read, strict=True)}
        for i in range(len(rows))
    ]


@contextmanager
def _recording(model: LoadedModel, names: Sequence[str]) -> Iterator[Mapping[str, tuple[Tensor, Tensor]]]:
    """Record inputs and outputs of the modules, and let gradients flow from there on.

    The network goes on with a copy of each output, since some networks change it in place.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def recorder(name: str) -> Any:
        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not output.requires_grad:  # below the lowest of the modules nothing has a gradient
                output.requires_grad_(True)
            seen[name] = inputs[0].detach(), output
            return output.clone()

        return record

    with ExitStack() as hooks:
        for name in names:
            hooks.callback(model.projection(name).module.register_forward_hook(recorder(name)).remove)
        yield seen


def _factors(inputs: Tensor, deltas: Tensor, read: Tensor) -> Factors:
    kept = (inputs != 0).any(-1) & (deltas != 0).any(-1) & read.to(inputs.device)
    return Factors(at_least_float32(inputs[kept]), at_least_float32(deltas[kept]))
