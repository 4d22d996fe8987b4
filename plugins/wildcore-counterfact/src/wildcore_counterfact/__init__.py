"""The CounterFact dataset (Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022)."""

from collections.abc import Iterable

from pydantic import Field

from wildcore import Dataset, Offer, hookimpl, lazy
from wildcore.datasets import TableParams


class CounterFactParams(TableParams):
    """Parameters of ``counterfact``."""

    paraphrases: int | None = Field(default=None, ge=0)
    """How many of a row's paraphrases to ask. Left out: all; a flat row has one."""

    neighbours: int | None = Field(default=None, ge=0)
    """How many of a row's neighbouring facts to ask about. Left out: all; a flat row has one."""


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Dataset]]:
    """Offer CounterFact."""
    summary = "statements with a counterfactual object, paraphrases and neighbouring facts"
    cites = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022"
    return [Offer("counterfact", lazy("wildcore_counterfact.dataset:CounterFact"), CounterFactParams, summary, cites)]
