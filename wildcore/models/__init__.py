"""A loaded model: weights, tokenizer, tokens, memory."""

from wildcore.models.chat import reads_clock, recorded_clock, render_chat, template_text
from wildcore.models.fingerprints import hash_of_weights
from wildcore.models.forwards import ending_after
from wildcore.models.loaded import LoadedModel, ModelRequest, Projection
from wildcore.models.loading import fetch_folder, load_config, load_model, pick_device, read_shape
from wildcore.models.memory import GIB, free_memory
from wildcore.models.precision import at_least_float32, wide_dtype
from wildcore.models.reading import no_progress_bar
from wildcore.models.tokens import (
    IGNORE_INDEX,
    TokenisedPair,
    edit_prompt,
    encode,
    pad,
    require_target,
    subject_span,
    target_labels,
    tokenise_pair,
    training_pair,
)

__all__ = [
    "GIB",
    "IGNORE_INDEX",
    "LoadedModel",
    "ModelRequest",
    "Projection",
    "TokenisedPair",
    "at_least_float32",
    "edit_prompt",
    "encode",
    "ending_after",
    "fetch_folder",
    "free_memory",
    "hash_of_weights",
    "load_config",
    "load_model",
    "no_progress_bar",
    "pad",
    "pick_device",
    "read_shape",
    "reads_clock",
    "recorded_clock",
    "render_chat",
    "require_target",
    "subject_span",
    "target_labels",
    "template_text",
    "tokenise_pair",
    "training_pair",
    "wide_dtype",
]
