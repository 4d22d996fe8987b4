"""Metrics on the words of an answer: overlap with the gold, fluency, and what is said beyond the gold."""

from collections.abc import Iterable

from wildcore import Metric, Offer, Segmenter, hookimpl, lazy
from wildcore_text_metrics.parameters import UNICODE, ExtraContentParams, SegmentedParams

SQUAD = "Rajpurkar et al., SQuAD, EMNLP 2016"
POHL = "Pohl et al., Towards a Principled Evaluation of Knowledge Editors, 2025, arXiv 2507.05937"
ROUGE = "Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004"
ENTROPY = "Zhang et al., NeurIPS 2018, arXiv 1809.05972; as GE in Meng et al., ROME, NeurIPS 2022"
MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, table 7"


@hookimpl
def wildcore_segmenters() -> Iterable[Offer[Segmenter]]:
    """Offer the word boundaries of Unicode."""
    return [
        Offer(
            UNICODE,
            lazy("wildcore_text_metrics.segmenting:UnicodeSegmenter"),
            summary="Unicode's word boundaries: every character is a word, except in Katakana",
            cites="Unicode Standard Annex #29",
        )
    ]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer five metrics that need neither a model nor a service."""
    return [
        Offer(
            "token-f1",
            lazy("wildcore_text_metrics.overlap:TokenF1"),
            SegmentedParams,
            "F1 of the words shared with the best accepted answer",
            SQUAD,
        ),
        Offer(
            "contains",
            lazy("wildcore_text_metrics.overlap:Contains"),
            SegmentedParams,
            '1 if an accepted answer occurs in the answer; false positives are common ("not Paris" contains "Paris")',
            POHL,
        ),
        Offer(
            "rouge-l",
            lazy("wildcore_text_metrics.rouge:RougeL"),
            summary="ROUGE-L F-measure with the best accepted answer",
            cites=ROUGE,
        ),
        Offer(
            "n-gram-entropy",
            lazy("wildcore_text_metrics.entropy:NGramEntropy"),
            summary="fluency: entropy in bits of the word pairs and triples of all that the model said",
            cites=ENTROPY,
        ),
        Offer(
            "extra-content",
            lazy("wildcore_text_metrics.extra:ExtraContent"),
            ExtraContentParams,
            "1 if the answer says more than the gold: the gold again, or something else",
            MIRAGE,
        ),
    ]
