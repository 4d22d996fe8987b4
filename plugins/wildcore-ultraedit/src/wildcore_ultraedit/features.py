"""The features of an edit: the inputs of a linear map, and the gradients of the loss by its outputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wildcore.models import IGNORE_INDEX, LoadedModel, TokenisedPair, at_least_float32, pad, target_labels


@dataclass(frozen=True)
class Features:
    """Features of some tokens at one linear map: hidden states [tokens, inputs] and gradients [tokens, outputs], at least
    float32.
    """

    hidden: Tensor
    gradients: Tensor

    @property
    def joined(self) -> Tensor:
        """Both side by side: [tokens, inputs + outputs]."""
        return torch.cat([self.hidden, self.gradients], dim=-1)


def joined(parts: Sequence[Mapping[str, Features]]) -> dict[str, Features]:
    """Return the features of all tokens of all ``parts``, by the name of the linear map."""
    return {
        name: Features(torch.cat([p[name].hidden for p in parts]), torch.cat([p[name].gradients for p in parts]))
        for name in parts[0]
    }


@torch.enable_grad()
def read_features(
    model: LoadedModel,
    names: Sequence[str],
    rows: Sequence[TokenisedPair],
    every_token: bool,
    together: bool,
    on_losses: Callable[[list[float]], None] | None = None,
) -> list[dict[str, Features]]:
    """Return each row's features at the linear maps ``names``.

    The loss is the mean negative log-probability of the target's tokens: of all rows ``together``, or of each row separately.
    Features are those of the tokens that predict the target, or of ``every_token`` that must be read. ``on_losses`` is given
    each row's own mean.
    """
    ids, mask = pad([row.token_ids[:-1] for row in rows], model.padding, "right", model.device)
    labels = target_labels(rows, model.device)[:, :-1]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "use_cache": False}
    with _watched(model, names) as seen:
        hidden = model.network.base_model(**inputs).last_hidden_state
    losses = _losses(model, hidden, labels)
    own = _means_of_rows(losses, labels)
    if on_losses is not None:
        on_losses(own.tolist())
    loss = losses.mean() if together else own.sum()
    gradients = torch.autograd.grad(loss, [seen[name][1] for name in names])
    used = mask.bool() if every_token else labels != IGNORE_INDEX
    found = {name: (seen[name][0], gradient) for name, gradient in zip(names, gradients, strict=True)}
    return [{name: _features(*pair, index, used[index]) for name, pair in found.items()} for index in range(len(rows))]


def _features(hidden: Tensor, gradients: Tensor, row: int, used: Tensor) -> Features:
    places = used.nonzero()[:, 0].to(hidden.device)
    return Features(at_least_float32(hidden[row, places]), at_least_float32(gradients[row, places]))


def _losses(model: LoadedModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """Return the negative log-probability of each label [answers]."""
    answers = (labels != IGNORE_INDEX).to(hidden.device)
    logits = at_least_float32(model.head(hidden[answers]))
    wanted = labels.to(logits.device)[answers.to(logits.device)]
    return nn.functional.cross_entropy(logits, wanted, reduction="none")


def _means_of_rows(losses: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of each row's ``losses`` [answers]: [rows]."""
    answers = (labels != IGNORE_INDEX).to(losses.device)
    rows = answers.nonzero()[:, 0]
    return losses.new_zeros(len(labels)).index_add(0, rows, losses / answers.sum(-1)[rows])


@contextmanager
def _watched(model: LoadedModel, names: Sequence[str]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Record (input, output) of each linear map in the next pass; gradients by the outputs can be computed.

    The network goes on with a copy of each output, since some networks change it in place.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str) -> Any:
        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            seen[name] = (inputs[0].detach(), output if output.requires_grad else output.requires_grad_(True))
            return output.clone()

        return record

    with ExitStack() as hooks:
        for name in names:
            hooks.callback(model.projection(name).module.register_forward_hook(watch(name)).remove)
        yield seen
