"""BERTScore: how close an answer is to an accepted one in the eyes of an encoder."""

from collections.abc import Iterable
from typing import Any

from wildcore import Metric, Offer, hookimpl
from wildcore_bertscore.parameters import BertScoreParams

CITES = "Zhang et al., BERTScore, ICLR 2020"


def _bert_score(params: BertScoreParams) -> Metric:
    from wildcore_bertscore.metric import BertScore

    return BertScore(params)


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Any]]:
    """Offer BERTScore."""
    summary = "likeness to the best accepted answer in an encoder's eyes; rates what is close but wrong high"
    return [Offer("bert-score", _bert_score, BertScoreParams, summary, CITES)]
