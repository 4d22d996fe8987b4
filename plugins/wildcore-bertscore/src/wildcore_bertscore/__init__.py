"""BERTScore: how similar an encoder finds an answer and an accepted answer."""

from collections.abc import Iterable

from wildcore import Metric, Offer, hookimpl, lazy
from wildcore_bertscore.parameters import BertScoreParams

CITES = "Zhang et al., BERTScore, ICLR 2020"


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer BERTScore."""
    summary = "likeness to the best accepted answer in an encoder's eyes; rates what is close but wrong high"
    return [Offer("bert-score", lazy("wildcore_bertscore.metric:BertScore"), BertScoreParams, summary, CITES)]
