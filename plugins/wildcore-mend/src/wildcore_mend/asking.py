"""What is asked of the model: the tokens of a target, each of the position before it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from wildcore.models import IGNORED, Joined, LoadedModel, at_least_float32, pad, target_labels


@dataclass(frozen=True)
class Asked:
    """Prompts with their targets, filled up on the right. All are [rows, tokens].

    ``labels`` hold at each position the token that is to follow, or ``IGNORED``.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor

    @classmethod
    def of(cls, model: LoadedModel, rows: Sequence[Joined], begin: bool = False) -> "Asked":
        """Ask each row for its target; with ``begin`` also for its beginning of sequence, one position earlier.

        That is asked only where the tokenizer has written one before the prompt, which not every tokenizer does.
        """
        ids, mask = pad([row.token_ids for row in rows], model.padding, "right", model.device)
        labels = target_labels(rows, model.device)
        for index, row in enumerate(rows):
            if begin and row.token_ids[0] == model.tokenizer.bos_token_id and row.prompt_length > 1:
                labels[index, row.prompt_length - 2] = row.token_ids[0]
        return cls(ids, mask, labels)

    @property
    def asked(self) -> Tensor:
        """Where something is asked: [rows, tokens], true or false."""
        return self.labels != IGNORED

    @property
    def read(self) -> Tensor:
        """What an answer may depend on, each row up to its last label: [rows, tokens], true or false."""
        return self.asked.flip(-1).cumsum(-1).flip(-1) > 0

    @property
    def wanted(self) -> Tensor:
        """The labels, row after row: [answers]."""
        return self.labels[self.asked]

    def logits(self, model: LoadedModel) -> Tensor:
        """Run the network and return what it gives where something is asked, row after row: [answers, vocabulary]."""
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        inputs = {"input_ids": self.ids, "attention_mask": self.mask, "position_ids": positions}
        hidden: Tensor = model.network.base_model(**inputs, use_cache=False).last_hidden_state
        return at_least_float32(model.head(hidden[self.asked.to(hidden.device)])).to(self.ids.device)

    def mean_of_rows(self, values: Tensor) -> Tensor:
        """Return the mean of each row's ``values`` [answers]: [rows]."""
        counts = self.asked.sum(1)
        rows = self.asked.nonzero()[:, 0]
        return values.new_zeros(len(counts)).index_add(0, rows, values) / counts
