"""Measurements of a whole model that show whether edits have made it collapse: perplexity, and the fluency of its texts."""

from collections.abc import Iterable

from wildcore import Measurement, Offer, hookimpl, lazy
from wildcore_collapse.parameters import EntropyParams, PerplexityParams


@hookimpl
def wildcore_measurements() -> Iterable[Offer[Measurement]]:
    """Offer perplexity and n-gram entropy."""
    return [
        Offer(
            "perplexity",
            lazy("wildcore_collapse.perplexity:Perplexity"),
            PerplexityParams,
            summary="perplexity on held-out text",
            cites="Yang et al., The Butterfly Effect of Model Editing, Findings of ACL 2024",
        ),
        Offer(
            "n-gram-entropy",
            lazy("wildcore_collapse.entropy:NGramEntropy"),
            EntropyParams,
            summary="entropy of the words in freely continued texts; low if the model repeats itself",
            cites="Zhang et al., NeurIPS 2018; Meng et al., NeurIPS 2022 (generation entropy)",
        ),
    ]
