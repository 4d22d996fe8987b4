"""Redefines a model family that is there already."""

from wildcore import Family, Offer, hookimpl
from wildcore.architectures import GPT2


@hookimpl
def wildcore_editors():
    return [Offer("known-family-editor", lambda params: None)]


@hookimpl
def wildcore_families() -> list[Family]:
    return [GPT2]
