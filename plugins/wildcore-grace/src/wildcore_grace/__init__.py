"""GRACE: facts kept in a codebook beside one MLP projection, looked up by the activation at the prompt's end."""

from collections.abc import Iterable
from typing import Any

from wildcore import Editor, Offer, hookimpl
from wildcore_grace.parameters import GraceParams

GRACE = "Hartvigsen et al., Aging with GRACE: Lifelong Model Editing with Discrete Key-Value Adaptors, NeurIPS 2023"


def _grace(params: GraceParams) -> Editor:
    from wildcore_grace.editor import Grace

    return Grace(params)


@hookimpl
def wildcore_editors() -> Iterable[Offer[Any]]:
    """Offer ``grace``."""
    return [Offer("grace", _grace, GraceParams, "codebook of keys and values beside one MLP projection", GRACE)]
