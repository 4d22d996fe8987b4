"""Selective contextual reasoning: facts are kept as text, and shown before the questions that they answer."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl, lazy
from wildcore_scr.parameters import ScrParams

HE = "He et al., Knowledge Updating? No More Model Editing! Just Selective Contextual Reasoning, arXiv 2503.05212"


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``scr``."""
    summary = "retrieves facts for a question, lets the model say which answers it, and puts that before the question"
    return [Offer("scr", lazy("wildcore_scr.editor:Scr"), ScrParams, summary, HE)]
