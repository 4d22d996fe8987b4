"""Fine-tuning of one MLP output projection.

Both methods minimise the negative log-probability of the target with Adam, all other weights frozen. FT-M asks each target
token of the position before it; FT-L asks all of them of the prompt's last position, which can hold only for targets of one
token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from wildcore import Editor, EditRequest, Prompt
from wildcore.models import LoadedModel
from wildcore.patches import Dense, WeightPatch
from wildcore.tokens import IGNORED, Joined, join, pad, target_labels
from wildcore_ft.parameters import FineTuningParams


@dataclass(frozen=True)
class Batch:
    """Prompts with their targets, padded on the right: ``rows`` as tokenised, ``labels`` [rows, tokens] as predicted."""

    rows: tuple[Joined, ...]
    ids: Tensor
    mask: Tensor
    labels: Tensor
    beginning: int | None


Loss = Callable[[Tensor, Batch], Tensor]


class FineTuning(Editor):
    """Adam on one weight until the loss is small, with an optional bound on every single weight's change."""

    def __init__(self, params: FineTuningParams, loss: Loss) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.loss = loss

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the change that training on all ``requests`` together makes."""
        projection = model.mlp_output(self.layer)
        start = projection.weight.float()
        weight = start.clone().requires_grad_(True)
        batch = self._batch(model, requests)
        optimiser = torch.optim.Adam([weight], lr=self.params.learning_rate, weight_decay=self.params.weight_decay)
        with torch.enable_grad():
            for _ in range(self.params.steps):
                stored = (weight.T if projection.transposed else weight).to(model.dtype)
                loss = self.loss(self._logits(model, projection.name, stored, batch), batch)
                if float(loss.detach()) < self.params.loss_threshold:
                    break
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                self._constrain(weight, start)
        return WeightPatch({projection.name: Dense(weight.detach() - start)})

    def _batch(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Batch:
        rows = tuple(
            join(model.tokenizer, Prompt(text=request.prompt), request.target, self.params.close_target)
            for request in requests
        )
        ids, mask = pad([row.token_ids for row in rows], model.padding, "right", model.device)
        first = rows[0].token_ids[0]
        beginning = first if first == model.tokenizer.bos_token_id else None  # not every tokenizer writes one
        return Batch(rows, ids, mask, target_labels(rows, model.device), beginning)

    def _logits(self, model: LoadedModel, name: str, weight: Tensor, batch: Batch) -> Tensor:
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask, "use_cache": False}
        logits: Tensor = functional_call(
            model.network, {f"{name}.weight": weight}, kwargs=inputs, tie_weights=False
        ).logits
        return logits.float()

    @torch.no_grad()
    def _constrain(self, weight: Tensor, start: Tensor) -> None:
        bound = self.params.norm_constraint
        if bound is not None:
            weight.copy_(torch.clamp(weight, start - bound, start + bound))


def target_loss(logits: Tensor, batch: Batch) -> Tensor:
    """FT-M: the mean over requests of the mean over target tokens, each at the position before it."""
    labels = batch.labels.to(logits.device)
    flat = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return (flat.view_as(labels).sum(1) / (labels != IGNORED).sum(1)).mean()


def last_position_loss(logits: Tensor, batch: Batch, begin: bool) -> Tensor:
    """FT-L: the mean over requests of the mean over target tokens, all at the prompt's last position."""
    losses = []
    for row, of_row in zip(batch.rows, logits, strict=True):
        asked = list(row.target_ids)
        if begin and batch.beginning is not None:
            asked = [batch.beginning, *asked]
        losses.append(-of_row[row.prompt_length - 1].log_softmax(-1)[asked].mean())
    return torch.stack(losses).mean()
