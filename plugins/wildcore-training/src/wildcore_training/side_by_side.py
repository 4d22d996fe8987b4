"""Training an MLP output projection: many weights in one batch, each on its own requests.

Each step computes only what depends on the weights: the projection's output and the layers above it. The gradient of a
weight W needs no graph through it: it is g^T x, with x the projection's inputs [tokens, inputs] and g the gradient of the
loss by its output [tokens, outputs].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import linear

from wildcore import NO_PROGRESS, Progress
from wildcore.inference import MIN_TOKENS_STABLE_SUM, GraphedStep, GraphedSteps, PartialForward
from wildcore.models import LoadedModel, at_least_float32, pad
from wildcore_training.asking import Answers, Asked
from wildcore_training.optimiser import adam

WEIGHTS_AT_ONCE = 32
"""Most weights trained in one batch. Each needs three times its size in float32, and more do not make a step cheaper."""
STEPS = "optimisation steps"

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
    model: LoadedModel,
    layer: int,
    groups: Sequence[Sequence[Asked]],
    schedule: Schedule,
    losses: Losses | None = None,
    graphs: GraphedSteps | None = None,
    progress: Progress = NO_PROGRESS,
) -> list[Tensor]:
    """Train one weight for each group of requests; return the changes of the layer's projection [outputs, inputs].

    They are at least float32. Each group's loss in each pass is appended to ``losses``, a list for each group, if that is
    given. A group's loss is the mean over its requests of the mean negative log-probability of the predicted tokens. Groups do
    not affect each other: each has its own optimiser, bound and end. The network's weights are not modified. ``graphs`` holds the
    steps of one weight that earlier calls captured, and those of this call. ``progress`` shows the steps.
    """
    changes: list[Tensor] = []
    seen: Losses = []
    for start in range(0, len(groups), WEIGHTS_AT_ONCE):
        training = _Training(model, layer, groups[start : start + WEIGHTS_AT_ONCE], schedule, graphs)
        with torch.enable_grad(), progress.track(STEPS, schedule.steps) as advance:
            for _ in range(schedule.steps):
                if not training.step():
                    break
                advance(1)
        changes += training.changes()
        seen += [weight.losses for weight in training.weights]
    if losses is not None:
        losses += seen
    return changes


class _Weight:
    """The weight that one group of requests trains; at the end, its change."""

    def __init__(self, group: Sequence[Asked], value: Tensor, schedule: Schedule) -> None:
        """``value`` [outputs, inputs] is where training starts; it is trained in place."""
        self.group = group
        self.answer_count = sum(len(asked.labels) for asked in group)
        self.ended = False
        self.losses: list[float] = []
        self.value = value
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


@dataclass(frozen=True)
class _Pass:
    """A pass with the weights that are still trained, ``values`` [outputs, inputs] each; the rows of each are adjacent."""

    model: LoadedModel
    layer: int
    upper: PartialForward
    answers: Answers
    values: Sequence[Tensor]
    rows_of_each: list[int]

    @property
    def settings(self) -> tuple[int, ...]:
        """The layer, and the number of rows of each weight."""
        return self.layer, *self.rows_of_each

    def tensors(self) -> list[Tensor]:
        """Return all tensors that differ between edits."""
        return [*self.upper.tensors(), *self.answers.tensors(), *self.values]

    def compute(self) -> tuple[Tensor, ...]:
        """Return each prediction's part of its group's loss [answers], and the gradient of all losses by the projection's output
        [rows, tokens, outputs].
        """
        bias: Tensor | None = getattr(self.model.mlp_output(self.layer).module, "bias", None)
        inputs = torch.split(self.upper.inputs, self.rows_of_each)
        pairs = zip(self.values, inputs, strict=True)
        output = torch.cat([linear(x, value.to(x.dtype), bias) for value, x in pairs]).requires_grad_(True)
        hidden = self.upper.run(output)
        parts = self.answers.parts_of_losses(self.model.head(hidden.flatten(0, 1)[self.answers.places]))
        (gradient,) = torch.autograd.grad(parts.sum(), output)
        return parts.detach(), gradient


class _Training:
    """All weights, and the rows of those that are still trained; the rows of a group are adjacent."""

    def __init__(
        self,
        model: LoadedModel,
        layer: int,
        groups: Sequence[Sequence[Asked]],
        schedule: Schedule,
        graphs: GraphedSteps | None = None,
    ) -> None:
        self.schedule = schedule
        self.start = at_least_float32(model.mlp_output(layer).weight)
        bound = schedule.norm_constraint
        self.bounds = None if bound is None else (self.start - bound, self.start + bound)
        rows = [asked.token_ids for group in groups for asked in group]
        # Adam makes a full step for a gradient that is nearly zero; its direction must not depend on the rest of the batch
        ids, mask = pad(rows, model.padding, "right", model.device, multiple_of=MIN_TOKENS_STABLE_SUM)
        graphed = graphs is not None and len(groups) == 1 and graphs.suit(model, ids.numel())
        upper = PartialForward(model, layer, ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), computes_padding=graphed)
        values = [torch.empty_like(self.start, memory_format=torch.contiguous_format).copy_(self.start) for _ in groups]
        answers = Answers.of(groups, upper.hidden, MIN_TOKENS_STABLE_SUM if graphed else 1)
        self.pass_ = _Pass(model, layer, upper, answers, values, [len(group) for group in groups])
        self.graphed: GraphedStep[_Pass] | None = None
        if graphs is not None and graphed:
            self.graphed = graphs.load(model, self.pass_)
            self.pass_ = self.graphed.step
        self.weights = self.trained = [
            _Weight(group, value, schedule) for group, value in zip(groups, self.pass_.values, strict=True)
        ]

    def step(self) -> bool:
        """Take a step with each weight whose loss is not small yet; return whether there was one."""
        parts, gradient = self.pass_.compute() if self.graphed is None else self.graphed.run()
        counts = [weight.answer_count for weight in self.trained]
        losses = torch.split(parts.cpu()[: sum(counts)], counts)
        for weight, loss in zip(self.trained, losses, strict=True):
            weight.losses.append(float(loss.sum()))
            weight.ended = weight.losses[-1] < self.schedule.loss_threshold  # not if the loss is not a number
        any_goes_on = not all(weight.ended for weight in self.trained)
        if any_goes_on:
            self._update(gradient)
        self._let_go()
        return any_goes_on

    def _update(self, gradient: Tensor) -> None:
        rows_of_each = self.pass_.rows_of_each
        inputs, gradients = (torch.split(t, rows_of_each) for t in (self.pass_.upper.inputs, gradient))
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
        self.trained = going_on
        if going_on:
            upper, groups = self.pass_.upper, [weight.group for weight in going_on]
            upper.keep(torch.tensor(kept, dtype=torch.long))
            self.pass_ = replace(
                self.pass_,
                answers=Answers.of(groups, upper.hidden),
                values=[weight.value for weight in going_on],
                rows_of_each=[len(group) for group in groups],
            )

    def changes(self) -> list[Tensor]:
        """End what is still trained and return the change of every weight."""
        for weight in self.trained:
            weight.end(self.start)
        values = [weight.value for weight in self.weights]
        return (
            values if self.graphed is None else [value.clone() for value in values]
        )  # the next edit is trained in them
