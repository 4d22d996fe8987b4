"""Training of adapters on the tokens of the targets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from wildcore import NO_PROGRESS, Progress
from wildcore.models import IGNORE_INDEX, LoadedModel, TokenisedPair, at_least_float32, pad, target_labels, wide_dtype
from wildcore_lora.parameters import LoraParams


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Seed torch with ``seed`` in this context; afterwards its global random state is restored."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def train(
    model: LoadedModel,
    rows: Sequence[TokenisedPair],
    weights: Sequence[Tensor],
    params: LoraParams,
    progress: Progress = NO_PROGRESS,
) -> list[float]:
    """Train ``weights`` in place with Adam until the loss on ``rows`` is small or all steps are made.

    The loss is the mean over the rows of the mean negative log-probability of the target's tokens. At most
    ``model.max_batch_size`` rows run through the network together; their gradients are summed before each step. Returns the loss
    of each pass. ``progress`` shows the steps.
    """
    at_once = model.max_batch_size or len(rows)
    batches = [_Batch.of(model, rows[i : i + at_once], len(rows)) for i in range(0, len(rows), at_once)]
    optimiser = torch.optim.Adam(weights, lr=params.learning_rate, weight_decay=params.weight_decay)
    losses: list[float] = []
    with torch.enable_grad(), progress.track("optimisation steps", params.steps) as advance:
        for _ in range(params.steps):
            optimiser.zero_grad()
            losses.append(sum(batch.add_gradient(model) for batch in batches))
            if losses[-1] < params.loss_threshold:
                break
            optimiser.step()
            advance(1)
    return losses


@dataclass(frozen=True)
class _Batch:
    """Right-padded rows. ``labels`` are those of ``target_labels``; ``shares`` are the weights of the rows in the loss."""

    ids: Tensor
    mask: Tensor
    labels: Tensor
    shares: Tensor

    @classmethod
    def of(cls, model: LoadedModel, rows: Sequence[TokenisedPair], all_rows: int) -> "_Batch":
        """Make a batch of some of ``all_rows`` rows."""
        ids, mask = pad([row.token_ids for row in rows], model.padding, "right", model.device)
        labels = target_labels(rows, model.device)
        asked = labels != IGNORE_INDEX
        shares = asked.to(wide_dtype(model.dtype)) / asked.sum(1, keepdim=True) / all_rows
        return cls(ids, mask, labels, shares)

    def add_gradient(self, model: LoadedModel) -> float:
        """Add the gradient of these rows' part of the loss to the weights' gradients; return that part."""
        logits = model.network(input_ids=self.ids, attention_mask=self.mask, use_cache=False).logits
        labels, shares = self.labels.to(logits.device), self.shares.to(logits.device)
        asked = labels != IGNORE_INDEX
        loss = (cross_entropy(at_least_float32(logits[asked]), labels[asked], reduction="none") * shares[asked]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())
