"""Runs a model, edited or not, efficiently: decoding, teacher forcing, caches, partial passes."""

from wildcore.inference.decoding import decode, decode_tokens
from wildcore.inference.graphed_steps import GraphedStep, GraphedSteps
from wildcore.inference.partial_forward import MIN_TOKENS_STABLE_SUM, PartialForward
from wildcore.inference.teacher_forcing import map_target_logits

__all__ = [
    "MIN_TOKENS_STABLE_SUM",
    "GraphedStep",
    "GraphedSteps",
    "PartialForward",
    "decode",
    "decode_tokens",
    "map_target_logits",
]
