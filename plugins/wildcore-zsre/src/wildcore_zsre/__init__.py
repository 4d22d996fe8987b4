"""The ZsRE dataset (Levy et al., CoNLL 2017) in the form used for model editing (Mitchell et al., MEND, ICLR 2022)."""

from collections.abc import Iterable

from wildcore import Dataset, Offer, hookimpl, lazy
from wildcore.datasets import TableParams


class ZsREParams(TableParams):
    """Parameters of ``zsre``."""


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Dataset]]:
    """Offer ZsRE."""
    summary = (
        "questions about one relation with a rephrasing, an unrelated question and, in some files, a one-hop question"
    )
    cites = "Levy et al., CoNLL 2017; Mitchell et al., MEND, ICLR 2022; one-hop questions: Yao et al., EMNLP 2023"
    return [Offer("zsre", lazy("wildcore_zsre.dataset:ZsRE"), ZsREParams, summary, cites)]
