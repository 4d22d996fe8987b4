"""The tokens of a target and the positions that predict them: each at the position before it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from wildcore.models import IGNORE_INDEX, LoadedModel, TokenisedPair, at_least_float32, pad, target_labels


@dataclass(frozen=True)
class Asked:
    """Prompts with their targets, padded on the right. All are [rows, tokens].

    ``labels`` hold at each position the token to be predicted, or ``IGNORE_INDEX``.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor

    @classmethod
    def of(cls, model: LoadedModel, rows: Sequence[TokenisedPair], begin: bool = False) -> "Asked":
        """Predict each row's target; with ``begin`` also its beginning-of-sequence token, one position earlier.

        That token is included only if the tokenizer has put one before the prompt, which not every tokenizer does.
        """
        ids, mask = pad([row.token_ids for row in rows], model.padding, "right", model.device)
        labels = target_labels(rows, model.device)
        for index, row in enumerate(rows):
            if begin and row.token_ids[0] == model.tokenizer.bos_token_id and row.prompt_length > 1:
                labels[index, row.prompt_length - 2] = row.token_ids[0]
        return cls(ids, mask, labels)

    @property
    def asked(self) -> Tensor:
        """The positions that predict a token: [rows, tokens], true or false."""
        return self.labels != IGNORE_INDEX

    @property
    def read(self) -> Tensor:
        """The tokens that a prediction may depend on, each row up to its last label: [rows, tokens], true or false."""
        return self.asked.flip(-1).cumsum(-1).flip(-1) > 0

    @property
    def wanted(self) -> Tensor:
        """The labels, row after row: [answers]."""
        return self.labels[self.asked]

    def logits(self, model: LoadedModel) -> Tensor:
        """Run the network and return the logits at the predicting positions, row after row: [answers, vocabulary]."""
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        inputs = {"input_ids": self.ids, "attention_mask": self.mask, "position_ids": positions}
        hidden: Tensor = model.network.base_model(**inputs, use_cache=False).last_hidden_state
        return at_least_float32(model.head(hidden[self.asked.to(hidden.device)])).to(self.ids.device)

    def mean_of_rows(self, values: Tensor) -> Tensor:
        """Return the mean of each row's ``values`` [answers]: [rows]."""
        counts = self.asked.sum(1)
        rows = self.asked.nonzero()[:, 0]
        return values.new_zeros(len(counts)).index_add(0, rows, values) / counts
