"""A tiny random network of every built-in family, made from its configuration: no file is read, nothing is downloaded."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, RobertaConfig, RobertaModel

from wildcore.architectures import Family, built_in_families
from wildcore.models.loaded import LoadedModel, ModelRequest
from wildcore.testing.tokenizers import byte_level_tokenizer

LAYERS = 3
HIDDEN = 32
INTERMEDIATE = 64
HEADS = 2
MAX_LENGTH = 128
WINDOWED = ("mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3")
MODEL_TYPES = tuple(family.model_type for family in built_in_families())
GPT_SIZES = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_inner": INTERMEDIATE, "n_positions": MAX_LENGTH}


def tiny_model(
    model_type: str,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    tokenizer: Any = None,
    sliding_window: int | None = None,
) -> LoadedModel:
    """Return a random network of ``model_type`` with 3 layers of width 32 and a context length of 128 tokens.

    The same ``seed`` gives the same weights; torch's global random state is restored. ``tokenizer`` None: a byte-level one.
    ``sliding_window`` (tokens) limits attention in families that have it: ``WINDOWED``. Raises ``ValueError`` for a family
    that is not built in, or has no sliding window.
    """
    if model_type not in MODEL_TYPES:
        raise ValueError(f"no tiny network of {model_type!r}; there are: {', '.join(MODEL_TYPES)}")
    if sliding_window is not None and model_type not in WINDOWED:
        raise ValueError(f"{model_type} has no sliding window; these have: {', '.join(WINDOWED)}")
    tokenizer = tokenizer if tokenizer is not None else byte_level_tokenizer()
    config = AutoConfig.for_model(model_type, **_settings(model_type, len(tokenizer), sliding_window))
    family = next(family for family in built_in_families() if family.model_type == model_type)
    return random_model(family, config, dtype, seed, tokenizer)


def random_model(
    family: Family, config: Any, dtype: torch.dtype = torch.float32, seed: int = 0, tokenizer: Any = None
) -> LoadedModel:
    """Return a network of ``family`` with the configuration of transformers ``config`` and random weights.

    The same ``seed`` gives the same weights; torch's global random state is restored. ``tokenizer`` None: a byte-level one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config, dtype=dtype)
    tokenizer = tokenizer if tokenizer is not None else byte_level_tokenizer()
    return LoadedModel(network, tokenizer, family, ModelRequest(name=f"tiny-{family.model_type}"))


def write_tiny_encoder(folder: Path) -> Path:
    """Write a random RoBERTa of 4 layers of width 32 into a new folder, and return it. It reads 39 tokens; its tokenizer, which
    is byte-level, states no bound.
    """
    folder.mkdir()
    model = json.loads(byte_level_tokenizer().backend_tokenizer.to_str())["model"]
    vocabulary = {**model["vocab"], "<mask>": len(model["vocab"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = ["#version: 0.2", *map(" ".join, model["merges"])]
    (folder / "merges.txt").write_text("\n".join(merges), encoding="utf-8")
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=HIDDEN,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=INTERMEDIATE,
        max_position_embeddings=40,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def _settings(model_type: str, vocabulary: int, sliding_window: int | None) -> dict[str, Any]:
    shared = {
        "vocab_size": vocabulary,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.2,  # wide enough for answers to differ from prompt to prompt
        "tie_word_embeddings": model_type
        == "gpt2",  # with tied embeddings, a random network tends to repeat its last token
    }
    if model_type == "gpt2":
        return shared | GPT_SIZES
    if model_type == "gptj":
        return shared | GPT_SIZES | {"rotary_dim": 8}
    sizes = {
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": MAX_LENGTH,
    }
    if model_type == "gpt_neox":
        return shared | sizes
    heads = {"num_key_value_heads": 1, "head_dim": HIDDEN // HEADS}
    return shared | sizes | heads | _window(model_type, sliding_window)


def _window(model_type: str, size: int | None) -> dict[str, Any]:
    if model_type.startswith("gemma"):
        kinds = ["sliding_attention", "full_attention", "sliding_attention"]
        return {"sliding_window": size or MAX_LENGTH, "layer_types": kinds, "query_pre_attn_scalar": HIDDEN // HEADS}
    if model_type.startswith("qwen") and size is not None:
        kinds = ["sliding_attention", "sliding_attention", "full_attention"]
        return {"use_sliding_window": True, "sliding_window": size, "max_window_layers": 0, "layer_types": kinds}
    return {"sliding_window": size} if model_type in WINDOWED else {}
