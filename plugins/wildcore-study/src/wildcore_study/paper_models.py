"""The models of the paper, recognised by their Hugging Face names, or by the shape in a local folder's ``config.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from wildcore.architectures import LLAMA_2_7B, LLAMA_3_8B, MISTRAL_7B
from wildcore.bounded import read_bounded
from wildcore.params import ModelShape
from wildcore.types import FrozenData

LLAMA_2, MISTRAL, LLAMA_3 = "llama-2-7b-chat", "mistral-7b", "llama-3-8b"
BY_NAME: Mapping[str, str] = {
    "meta-llama/llama-2-7b-chat-hf": LLAMA_2,
    "mistralai/mistral-7b-v0.1": MISTRAL,
    "meta-llama/meta-llama-3-8b": LLAMA_3,
}
"""Hugging Face names in lower case. A folder with the last part as its name counts too."""
BY_SHAPE: Mapping[ModelShape, str] = {LLAMA_2_7B: LLAMA_2, MISTRAL_7B: MISTRAL, LLAMA_3_8B: LLAMA_3}


class PaperModel(FrozenData):
    """One of the paper's models. A shape does not tell a base model from a chat model or a later version."""

    name: str
    recognised_by: Literal["name", "shape"]


def paper_model(name: str) -> PaperModel | None:
    """Return the paper's model that the hub name or local folder ``name`` contains, or None if it is none of them.

    A local folder is recognised by its shape if its name says nothing. A file that cannot be read recognises nothing.
    """
    given = name.casefold().rstrip("/")
    for known, model in BY_NAME.items():
        if given == known or Path(given).name == known.rpartition("/")[2]:
            return PaperModel(name=model, recognised_by="name")
    shape = _shape(Path(name) / "config.json")
    if shape is None or shape not in BY_SHAPE:
        return None
    return PaperModel(name=BY_SHAPE[shape], recognised_by="shape")


def _shape(config: Path) -> ModelShape | None:
    try:
        fields = json.loads(read_bounded(config))
        return ModelShape(*(fields[name] for name in ("model_type", "num_hidden_layers", "hidden_size", "vocab_size")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
