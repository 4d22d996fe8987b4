"""Training an MLP output projection: many weights in one batch, each on its own requests.

Each step computes only what depends on the weights: the projection's output and the layers above it. The gradient of a
weight W needs no graph through it: it is g^T x, with x the projection's inputs [tokens, inputs] and g the gradient of the
loss by its output [tokens, outputs].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from wildcore.inference import MIN_TOKENS_STABLE_SUM, PartialForward
from wildcore.models import LoadedModel, at_least_float32, pad
from wildcore_training.asking import Answers, Asked
from wildcore_training.optimiser import adam

WEIGHTS_AT_ONCE = 32
"""Most weights trained in one batch. Each needs three times its size in float32, and more do not make a step cheaper."""


Losses = list[list[float]]


@dataclass(frozen=True)
class Schedule:
    """How a weight is trained: with at most ``steps`` of Adam, ending when the loss is below ``loss_threshold``.

    ``norm_constraint`` is the largest change of any single weight. None: unbounded.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    loss_threshold: float
    norm_constraint: float | None = None


def train(
    model: LoadedModel, layer: int, groups: Sequence[Sequence[Asked]], schedule: Schedule, losses: Losses | None = None
) -> list[Tensor]:
    """Train one weight for each group of requests; return the changes of the layer's projection [outputs, inputs].

    They are at least float32. Each group's loss in each pass is appended to ``losses``, a list for each group, if that is
    given. A group's loss is the mean over its requests of the mean negative log-probability of the predicted tokens. Groups do
    not affect each other: each has its own optimiser, bound and end. The network's weights are not modified.
    """
    changes: list[Tensor] = []
    seen: Losses = []
    for start in range(0, len(groups), WEIGHTS_AT_ONCE):
        training = _Training(model, layer, groups[start : start + WEIGHTS_AT_ONCE], schedule)
        with torch.enable_grad():
            for _ in range(schedule.steps):
                if not training.step():
                    break
        changes += training.changes()
        seen += [weight.losses for weight in training.weights]
    if losses is not None:
        losses += seen
    return changes


class _Weight:
    """The weight that one group of requests trains; at the end, its change."""

    def __init__(self, group: Sequence[Asked], start: Tensor, schedule: Schedule) -> None:
        self.group = group
        self.answer_count = sum(len(asked.labels) for asked in group)
        self.ended = False
        self.losses: list[float] = []
        self.value = torch.empty_like(start, memory_format=torch.contiguous_format).copy_(start)
        self.optimiser: torch.optim.Adam | None = adam([self.value], schedule.learning_rate, schedule.weight_decay)

    def step(self, inputs: Tensor, gradient: Tensor) -> None:
        """Take an Adam step, given the projection's inputs and the gradient by its output: [rows, tokens, ...] both."""
        assert self.optimiser is not None, "a weight that has ended takes no steps"
        self.value.grad = at_least_float32(gradient.flatten(0, 1).T @ inputs.flatten(0, 1))
        self.optimiser.step()
        self.value.grad = None

    def end(self, start: Tensor) -> None:
        """Replace the weight by its change, in place, and free Adam's state."""
        self.value.sub_(start)
        self.optimiser = None


class _Training:
    """All weights, and the rows of those that are still trained; the rows of a group are adjacent."""

    def __init__(self, model: LoadedModel, layer: int, groups: Sequence[Sequence[Asked]], schedule: Schedule) -> None:
        self.model, self.schedule = model, schedule
        projection = model.mlp_output(layer)
        self.bias: Tensor | None = getattr(projection.module, "bias", None)
        self.start = at_least_float32(projection.weight)
        bound = schedule.norm_constraint
        self.bounds = None if bound is None else (self.start - bound, self.start + bound)
        self.weights = [_Weight(group, self.start, schedule) for group in groups]
        rows = [asked.token_ids for group in groups for asked in group]
        # Adam makes a full step for a gradient that is nearly zero; its direction must not depend on the rest of the batch
        ids, mask = pad(rows, model.padding, "right", model.device, multiple_of=MIN_TOKENS_STABLE_SUM)
        self.upper = PartialForward(model, layer, ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))
        self._go_on_with(self.weights)

    def _go_on_with(self, weights: Sequence[_Weight]) -> None:
        self.trained = weights
        self.rows_of_each = [len(weight.group) for weight in weights]
        self.answers = Answers.of([w.group for w in weights], self.upper.hidden)

    def step(self) -> bool:
        """Take a step with each weight whose loss is not small yet; return whether there was one."""
        output = self._outputs().requires_grad_(True)
        hidden = self.upper.run(output)
        parts = self.answers.parts_of_losses(self.model.head(hidden.flatten(0, 1)[self.answers.places]))
        losses = torch.split(parts.detach().cpu(), [weight.answer_count for weight in self.trained])
        for weight, loss in zip(self.trained, losses, strict=True):
            weight.losses.append(float(loss.sum()))
            weight.ended = weight.losses[-1] < self.schedule.loss_threshold  # not if the loss is not a number
        any_goes_on = not all(weight.ended for weight in self.trained)
        if any_goes_on:
            (gradient,) = torch.autograd.grad(parts.sum(), output)
            self._update(gradient)
        self._let_go()
        return any_goes_on

    def _outputs(self) -> Tensor:
        """Return the projection's output [rows, tokens, outputs], each row with its group's weight."""
        inputs = torch.split(self.upper.inputs, self.rows_of_each)
        return torch.cat([linear(x, w.value.to(x.dtype), self.bias) for w, x in zip(self.trained, inputs, strict=True)])

    def _update(self, gradient: Tensor) -> None:
        inputs, gradients = (torch.split(t, self.rows_of_each) for t in (self.upper.inputs, gradient))
        for weight, x, g in zip(self.trained, inputs, gradients, strict=True):
            if not weight.ended:
                weight.step(x, g)
                if self.bounds is not None:
                    weight.value.clamp_(*self.bounds)

    def _let_go(self) -> None:
        """Remove weights that have ended, and their rows."""
        kept = [index for index, weight in enumerate(w for w in self.trained for _ in w.group) if not weight.ended]
        going_on = [weight for weight in self.trained if not weight.ended]
        if len(going_on) == len(self.trained):
            return
        for weight in self.trained:
            if weight.ended:
                weight.end(self.start)
        self.upper.keep(torch.tensor(kept, dtype=torch.long))
        self._go_on_with(going_on)

    def changes(self) -> list[Tensor]:
        """End what is still trained and return the change of every weight."""
        for weight in self.trained:
            weight.end(self.start)
        return [weight.value for weight in self.weights]
