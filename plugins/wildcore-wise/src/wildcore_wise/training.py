"""Training a side memory: to say the target, to be active on the edited prompt, and not to be active on irrelevant text.

Everything is computed from the difference between the memory and the projection's weight. So a memory without a
difference has an activity of exactly zero, and the gradient of its activity does not depend on rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, relu

from wildcore import NO_PROGRESS, Progress
from wildcore.inference import PartialForward
from wildcore.models import IGNORE_INDEX, LoadedModel, TokenisedPair, at_least_float32, pad
from wildcore_wise.activity import activity
from wildcore_wise.parameters import WiseParams


@dataclass(frozen=True)
class Batch:
    """An edit's texts as one batch [rows, tokens], the irrelevant text as the last row."""

    ids: Tensor
    mask: Tensor
    """1 at real tokens."""
    positions: Tensor
    prompt: Tensor
    """True at the tokens of prompts, one of which is the irrelevant text, and at padding that is included."""
    text: Tensor
    """True at all tokens, and at padding that is included."""
    labels: Tensor
    """The target's ids at the positions that predict them, else ``IGNORE_INDEX``; for all rows except the last."""

    @classmethod
    def of(
        cls, model: LoadedModel, rows: Sequence[TokenisedPair], irrelevant: Sequence[int], count_padding: bool
    ) -> "Batch":
        """Pad the texts on the right; if padding is included, on the left, with the end-of-sequence token if the network has
        one.
        """
        texts = [*(row.token_ids for row in rows), irrelevant]
        if not count_padding:
            ids, mask = pad(texts, model.padding, "right", model.device)
            text, positions = mask.bool(), (mask.cumsum(-1) - 1).clamp(min=0)
        else:
            end = model.tokenizer.eos_token_id
            known = end is not None and end < model.network.get_input_embeddings().num_embeddings
            ids, mask = pad(texts, end if known else model.padding, "left", model.device)
            text, positions = torch.ones_like(mask, dtype=torch.bool), torch.arange(ids.shape[1], device=ids.device)
            positions = positions.expand_as(ids)
        starts = mask.argmax(-1)
        lengths = torch.tensor([*(row.prompt_length for row in rows), len(irrelevant)], device=ids.device)
        places = torch.arange(ids.shape[1], device=ids.device)
        prompt = text & (places < (starts + lengths)[:, None])
        labels = _predicting(ids[:-1], mask[:-1].bool() & ~prompt[:-1])
        return cls(ids, mask, positions, prompt, text, labels)

    def padded_labels(self, rows: Sequence[TokenisedPair]) -> Tensor:
        """Return the labels of published code: all real tokens after as many positions as the longest prompt has."""
        longest = max(row.prompt_length for row in rows)
        behind = torch.arange(self.ids.shape[1], device=self.ids.device) >= longest
        return _predicting(self.ids[:-1], self.mask[:-1].bool() & behind)


def _predicting(ids: Tensor, chosen: Tensor) -> Tensor:
    """Return the ``chosen`` [rows, tokens] ids, each at the position before it, which predicts it, and ``IGNORE_INDEX``
    elsewhere."""
    labels = torch.where(chosen, ids, IGNORE_INDEX)
    return torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)


class Training:
    """One edit's texts: prompts with their target, the bare one first, and irrelevant text as the last row."""

    def __init__(
        self,
        model: LoadedModel,
        rows: Sequence[TokenisedPair],
        irrelevant: Sequence[int],
        params: WiseParams,
        activation: str | None,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.model, self.params, self.activation, self.progress = model, params, activation, progress
        batch = Batch.of(model, rows, irrelevant, params.count_padding)
        self.upper = PartialForward(
            model, params.layer, batch.ids, batch.mask, batch.positions, computes_padding=params.count_padding
        )
        self.weight = model.mlp_output(params.layer).weight
        self.prompt, self.text = (counted.to(self.upper.inputs.device) for counted in (batch.prompt, batch.text))
        labels = batch.padded_labels(rows) if params.answer_labels == "padded" else batch.labels
        self.labels = labels.to(self.upper.hidden.device)
        self.losses: list[tuple[float, float]] = []
        """The losses of the target and of the activities in each step."""
        self.before_last_step = 0.0
        """The memory's mean activity on the texts, in the last step's pass."""

    def train(self, change: Tensor, trained: Tensor) -> Tensor:
        """Return ``change`` [outputs, inputs] trained further, where the mask ``trained`` [outputs, inputs] is true."""
        before, last = 0.0, float("inf")
        with self.progress.track("optimisation steps", self.params.steps) as advance:
            for _ in range(self.params.steps):
                loss, gradient = self._gradient(change)
                if abs(last - before) <= self.params.loss_change and last <= self.params.loss_threshold:
                    break
                change = self._stepped(change, gradient * trained)
                before, last = last, loss
                advance(1)
        return change

    def least_active(self, change: Tensor) -> float:
        """Return the activity from which the memory's threshold is computed, after training."""
        if self.params.threshold_from == "texts-before-last-step":
            return self.before_last_step
        return self.activity_on_prompts(change)

    def activity_on_prompts(self, change: Tensor) -> float:
        """Return the memory's mean activity on the prompts, or that on the bare prompt if it is less."""
        moved = linear(at_least_float32(self.upper.inputs[:-1]), change)
        activities = activity(self.upper.outputs[:-1], moved, self.prompt[:-1], self.activation)
        return float(torch.minimum(activities.mean(), activities[0]))

    def _gradient(self, change: Tensor) -> tuple[float, Tensor]:
        with torch.enable_grad():
            change = change.detach().requires_grad_(True)
            moved = linear(at_least_float32(self.upper.inputs), change)
            output = (at_least_float32(self.upper.outputs) + moved).to(self.upper.outputs.dtype)
            answer, margins = self._answer_loss(output), self._margins(moved)
            loss = answer + margins.to(answer.device)
            (gradient,) = torch.autograd.grad(loss, change)
        self.losses.append((float(answer.detach()), float(margins.detach())))
        return float(loss.detach()), gradient

    def _stepped(self, change: Tensor, gradient: Tensor) -> Tensor:
        """Return the change after a plain gradient step with weight decay, within its bound."""
        if self.params.weight_decay:
            gradient = gradient + self.params.weight_decay * (at_least_float32(self.weight) + change)
        bound = self.params.norm_constraint
        stepped = change - self.params.learning_rate * gradient
        return stepped if bound is None else stepped.clamp(-bound, bound)

    def _answer_loss(self, output: Tensor) -> Tensor:
        """Return the mean over rows of the labels' mean negative log-probability."""
        hidden = self.upper.run(output)
        asked = self.labels != IGNORE_INDEX
        rows, places = asked.nonzero(as_tuple=True)
        logits = at_least_float32(self.model.head(hidden[rows, places]))
        losses = cross_entropy(logits, self.labels[rows, places].to(logits.device), reduction="none")
        counts = asked.sum(-1) + (1 if self.params.answer_loss == "published" else 0)
        return (losses / counts[rows].to(losses.device)).sum() / len(self.labels)

    def _margins(self, moved: Tensor) -> Tensor:
        """Return the loss of the activities: the paper's equation 6, each part averaged over the texts that violate it."""
        counted = self.text if self.params.activity_over == "text" else self.prompt
        activities = activity(self.upper.outputs, moved, counted, self.activation)
        inside, outside = activities[:-1], activities[-1]
        self.before_last_step = float(inside.detach().mean())
        excesses = (
            outside - inside + self.params.gap_margin,
            (outside - self.params.outside_margin)[None],
            self.params.inside_margin - inside,
        )
        return torch.stack([relu(excess).sum() / (excess > 0).sum().clamp(min=1) for excess in excesses]).sum()
