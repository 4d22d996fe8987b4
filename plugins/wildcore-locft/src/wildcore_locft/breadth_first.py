"""Breadth-first training: epochs of mini-batches over all requests.

No graph is built below the trained layer, since nothing there is trained.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call
from wildcore_training.asking import Answers, Asked
from wildcore_training.optimiser import adam
from wildcore_training.side_by_side import STEPS

from wildcore import NO_PROGRESS, Progress
from wildcore.models import LoadedModel, at_least_float32, pad
from wildcore_locft.parameters import LocFTParams


def train_breadth_first(
    model: LoadedModel,
    names: Sequence[str],
    asked: Sequence[Asked],
    params: LocFTParams,
    seed: int,
    losses: list[float] | None = None,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Tensor]:
    """Train the linear maps ``names`` on all of ``asked``; return the change of each [outputs, inputs], at least float32.

    The loss of a mini-batch is the mean over its requests of the mean negative log-probability of the predicted tokens. Each
    epoch's mean loss is appended to ``losses``, if that is given. ``progress`` shows the mini-batches. The network's weights are
    not modified.
    """
    starts = {name: model.projection(name).weight for name in names}
    weights = {
        name: at_least_float32(start).clone(memory_format=torch.contiguous_format) for name, start in starts.items()
    }
    optimiser = adam(list(weights.values()), params.learning_rate, params.weight_decay)
    starting = range(0, len(asked), params.batch_size)
    with progress.track(STEPS, params.epochs * len(starting)) as advance:
        for order in shuffled(len(asked), params.epochs, seed):
            total = 0.0
            for start in starting:
                batch = [asked[index] for index in order[start : start + params.batch_size]]
                total += len(batch) * _step(model, weights, optimiser, batch, params.loss_threshold)
                advance(1)
            if losses is not None:
                losses.append(total / len(asked))
            if total / len(asked) < params.loss_threshold:
                break
    return {name: weight.detach() - at_least_float32(starts[name]) for name, weight in weights.items()}


def shuffled(count: int, epochs: int, seed: int) -> Iterator[list[int]]:
    """Yield the order of the requests in each epoch."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield torch.randperm(count, generator=generator).tolist()


@torch.enable_grad()
def _step(
    model: LoadedModel,
    weights: Mapping[str, Tensor],
    optimiser: torch.optim.Adam,
    batch: Sequence[Asked],
    threshold: float,
) -> float:
    """Take a step, unless the loss is small already; return the loss before the step."""
    for weight in weights.values():
        weight.requires_grad_(True)
    ids, mask = pad([one.token_ids for one in batch], model.padding, "right", model.device)
    hidden = _hidden(model, weights, ids, mask)
    answers = Answers.of([batch], hidden)
    loss = answers.parts_of_losses(model.head(hidden.flatten(0, 1)[answers.places])).sum()
    value = float(loss.detach())
    if not value < threshold:  # also if it is not a number, so that the record shows it
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return value


def _hidden(model: LoadedModel, weights: Mapping[str, Tensor], ids: Tensor, mask: Tensor) -> Tensor:
    """Return the final hidden states [rows, tokens, width] with ``weights`` used instead of the network's own."""
    base = f"{model.network.base_model_prefix}."
    placed = {}
    for name, weight in weights.items():
        stored = weight.to(model.projection(name).weight.dtype)
        placed[f"{name.removeprefix(base)}.weight"] = stored.T if model.projection(name).transposed else stored
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "use_cache": False}
    states: Tensor = functional_call(
        model.network.base_model, placed, kwargs=inputs, tie_weights=False
    ).last_hidden_state
    return states
