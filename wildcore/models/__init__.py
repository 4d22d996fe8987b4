"""A loaded model: weights, tokenizer, tokens, memory."""

from wildcore.models.fingerprints import hash_of_weights
from wildcore.models.loaded import LoadedModel, ModelRequest, Projection
from wildcore.models.loading import fetch_folder, load_config, load_model, no_progress_bar, pick_device, read_shape
from wildcore.models.memory import GIB, free_memory
from wildcore.models.precision import at_least_float32, wide_dtype
from wildcore.models.tokens import (
    IGNORED,
    Joined,
    encode,
    join,
    pad,
    require_target,
    subject_span,
    target_labels,
    to_train_on,
)

__all__ = [
    "GIB",
    "IGNORED",
    "Joined",
    "LoadedModel",
    "ModelRequest",
    "Projection",
    "at_least_float32",
    "encode",
    "fetch_folder",
    "free_memory",
    "hash_of_weights",
    "join",
    "load_config",
    "load_model",
    "no_progress_bar",
    "pad",
    "pick_device",
    "read_shape",
    "require_target",
    "subject_span",
    "target_labels",
    "to_train_on",
    "wide_dtype",
]
