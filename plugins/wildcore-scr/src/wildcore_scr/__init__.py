"""Selective contextual reasoning: facts are kept as text, and put before the questions that they answer."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_scr.parameters import ScrParams

HE = "He et al., Knowledge Updating? No More Model Editing! Just Selective Contextual Reasoning, arXiv 2503.05212"


def _scr(params: ScrParams) -> Editor:
    from wildcore_scr.editor import Scr

    return Scr(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``scr``."""
    summary = "retrieves facts for a question, lets the model say which answers it, and puts that before the question"
    return [Offer("scr", _scr, ScrParams, summary, HE)]
