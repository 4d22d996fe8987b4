"""Merges an adapter of the library peft into the network of its base model."""

import warnings
from importlib.util import find_spec
from typing import Any

from wildcore.errors import Option, UserError
from wildcore.models.memory import read_header
from wildcore.models.sources import ADAPTER_WEIGHTS, Adapter

IN_LAYERS_OF_VOCABULARY = ("embed_tokens.weight", "lm_head.weight", "wte.weight", "embed_in.weight", "embed_out.weight")


def require_peft(name: str) -> None:
    """Raise ``UserError`` if peft is not installed; ``name`` is the user's name for the adapter."""
    if find_spec("peft") is None:
        raise UserError("merging an adapter needs the package peft", Option("model", name), "pip install peft")


def merge(network: Any, adapter: Adapter, name: str) -> Any:
    """Return ``network`` with ``adapter`` merged into its weights, by peft's own rules for the adapter's kind.

    Raises ``UserError`` for an adapter that does not fit the network, or that cannot be merged, such as a trained prompt.
    """
    from peft import PeftModel, get_peft_model_state_dict

    about = Option("model", name)
    stored = read_header(adapter.folder / ADAPTER_WEIGHTS)
    _resize(network, stored)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of peft's about names in transformers
            wrapped = PeftModel.from_pretrained(network, adapter.folder)
        known = {key: tuple(tensor.shape) for key, tensor in get_peft_model_state_dict(wrapped).items()}
        missing = sorted(stored.keys() - known.keys()) or sorted(known.keys() - stored.keys())
        if missing:
            raise ValueError(f"{missing[0]} is in only one of the two")
        merged = wrapped.merge_and_unload(safe_merge=True)
    except Exception as error:  # peft raises errors of many kinds for an adapter that does not fit
        raise _unfit(adapter, about, error) from error
    return merged


def _resize(network: Any, stored: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """Give the network as many tokens as an adapter that was trained with added tokens stores embeddings for."""
    rows = {shape[0] for key, (_, shape) in stored.items() if key.endswith(IN_LAYERS_OF_VOCABULARY)}
    if len(rows) == 1 and rows != {network.get_input_embeddings().num_embeddings}:
        network.resize_token_embeddings(rows.pop(), mean_resizing=False)


def _unfit(adapter: Adapter, about: Option, error: Exception) -> UserError:
    why = " ".join(str(error).split())
    return UserError(
        f"its adapter ({adapter.kind}) cannot be merged into {adapter.base}: {why:.300}",
        about,
        "see whether base_model_name_or_path in its adapter_config.json names the model that it was trained on",
    )
