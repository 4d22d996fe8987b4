"""What training predicts: target tokens, the positions that predict them, and the loss of the predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from wildcore.inference import MIN_TOKENS_STABLE_SUM
from wildcore.models import TokenisedPair, at_least_float32, wide_dtype


@dataclass(frozen=True)
class Asked:
    """One request: ``labels[i]`` must follow ``token_ids[places[i]]``. The ids end with the last one that is needed."""

    token_ids: tuple[int, ...]
    places: tuple[int, ...]
    labels: tuple[int, ...]


def ask_in_place(row: TokenisedPair) -> Asked:
    """Predict each target token at the position before it."""
    end = len(row.token_ids) - 1
    return Asked(row.token_ids[:end], tuple(range(row.prompt_length - 1, end)), row.target_ids)


@dataclass(frozen=True)
class Answers:
    """The predictions for the rows of some groups, in the groups' order; several may be read at one position.

    ``places`` [a multiple of ``MIN_TOKENS_STABLE_SUM``] index the tokens of all rows, one row after another. ``place_of``,
    ``labels`` and ``shares`` [answers] hold for each prediction its index in ``places``, its label, and its weight in its
    group's loss. Padding behind the predictions repeats the first one with a weight of zero.
    """

    places: Tensor
    place_of: Tensor
    labels: Tensor
    shares: Tensor

    @classmethod
    def of(cls, groups: Sequence[Sequence[Asked]], hidden: Tensor, multiple_of: int = 1) -> "Answers":
        """Return the predictions for rows whose final hidden states are ``hidden`` [rows, tokens, width], padded to a multiple of
        ``multiple_of``.
        """
        width, device = hidden.shape[1], hidden.device
        rows = [asked for group in groups for asked in group]
        places = [row * width + place for row, asked in enumerate(rows) for place in asked.places]
        wanted = [label for asked in rows for label in asked.labels]
        shares = [1 / (len(asked.labels) * len(group)) for group in groups for asked in group for _ in asked.labels]
        more = -len(places) % multiple_of
        places, wanted, shares = places + places[:1] * more, wanted + wanted[:1] * more, shares + [0.0] * more
        every = torch.tensor(places, dtype=torch.long, device=device)
        different, place_of = torch.unique(every, return_inverse=True)
        different = pad(different, (0, -len(different) % MIN_TOKENS_STABLE_SUM))
        labels = torch.tensor(wanted, dtype=torch.long, device=device)
        return cls(different, place_of, labels, torch.tensor(shares, dtype=wide_dtype(hidden.dtype), device=device))

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in a fixed order."""
        return [self.places, self.place_of, self.labels, self.shares]

    def parts_of_losses(self, logits: Tensor) -> Tensor:
        """Return each prediction's part of its group's loss [answers], given the logits at the places."""
        place_of, labels, shares = (t.to(logits.device) for t in (self.place_of, self.labels, self.shares))
        return -at_least_float32(logits).log_softmax(-1)[place_of, labels] * shares
