"""Runs a model, edited or not, efficiently: decoding, teacher forcing, caches, partial passes."""

from wildcore.inference.decoding import decode
from wildcore.inference.partial_forward import SUMMED_ALIKE, UpperLayers
from wildcore.inference.teacher_forcing import over_targets

__all__ = [
    "SUMMED_ALIKE",
    "UpperLayers",
    "decode",
    "over_targets",
]
