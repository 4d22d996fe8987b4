"""Contexts that put text before the question: solved examples, or a distracting text."""

from collections.abc import Iterable

from wildcore import Context, Offer, hookimpl, lazy
from wildcore_prompting.parameters import FewShotParams, PrefixParams

BROWN = "Brown et al., Language Models are Few-Shot Learners, NeurIPS 2020"


@hookimpl
def wildcore_contexts() -> Iterable[Offer[Context]]:
    """Offer solved examples, and a user's own text, before the question."""
    return [
        Offer(
            "few-shot",
            lazy("wildcore_prompting.contexts:FewShot"),
            FewShotParams,
            "the question behind an instruction and solved examples",
            BROWN,
        ),
        Offer(
            "prefix",
            lazy("wildcore_prompting.contexts:Prefix"),
            PrefixParams,
            "the question behind a text that has nothing to do with it",
        ),
    ]
