"""Trains values: the projection's output at a prompt's last token that makes the model say the target."""

from collections.abc import Sequence

import torch
from torch import Tensor

from wildcore import NO_PROGRESS, Progress
from wildcore.inference import PartialForward
from wildcore.models import IGNORE_INDEX, LoadedModel, TokenisedPair, at_least_float32, pad, target_labels


class PromptEnds:
    """Prompts with their targets, run up to the last token of each prompt in one layer."""

    queries: Tensor
    """The projection's input there: [rows, inputs]."""

    def __init__(self, model: LoadedModel, layer: int, rows: Sequence[TokenisedPair]) -> None:
        """Run the network once."""
        self.model = model
        ids, mask = pad([row.token_ids for row in rows], model.padding, "right", model.device)
        self.upper = PartialForward(model, layer, ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))
        device = self.upper.inputs.device
        self.ends = (
            torch.arange(len(rows), device=device),
            torch.tensor([row.prompt_length - 1 for row in rows], device=device),
        )
        self.queries = self.upper.inputs[self.ends]
        self.labels = target_labels(rows, self.upper.hidden.device)
        self.losses: list[list[float]] = [[] for _ in rows]
        """Each row's loss in each step."""

    def train(self, start: Tensor, steps: int, learning_rate: float, progress: Progress = NO_PROGRESS) -> Tensor:
        """Return values [rows, outputs] trained from ``start`` by Adam, each on its own row.

        The loss is the mean negative log-probability of the row's target tokens. Rows do not affect each other.
        ``progress`` shows the steps.
        """
        values = start.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([values], lr=learning_rate)
        steps_losses: list[Tensor] = []
        with torch.enable_grad(), progress.track("optimisation steps", steps) as advance:
            for _ in range(steps):
                optimiser.zero_grad()
                losses = self._losses(values)
                losses.sum().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                steps_losses.append(losses.detach())
                advance(1)
        self.losses = torch.stack(steps_losses, dim=1).tolist()
        return values.detach()

    def _losses(self, values: Tensor) -> Tensor:
        """Return each row's loss [rows]."""
        output = self.upper.outputs.index_put(self.ends, values.to(self.upper.outputs.dtype))
        hidden = self.upper.run(output)
        asked = self.labels != IGNORE_INDEX
        rows, places = asked.nonzero(as_tuple=True)
        logits = at_least_float32(self.model.head(hidden[rows, places]))
        labels = self.labels[rows, places].to(logits.device)
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        rows = rows.to(losses.device)
        shares = (1 / asked.sum(-1).to(losses))[rows]
        return losses.new_zeros(len(self.labels)).index_add(0, rows, losses * shares)
