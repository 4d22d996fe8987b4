"""A GGUF file is read as ordinary weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wildcore.architectures import built_in_families
from wildcore.errors import render
from wildcore.models import LoadedModel, ModelRequest, load_model
from wildcore.testing.networks import tiny_model

gguf = pytest.importorskip("gguf")
FAMILIES = {family.model_type: family for family in built_in_families()}
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def interleaved(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Return the rows of a query or key projection in the order of the file format, whose rotary pairs are neighbours."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write(model: LoadedModel, path: Path, kind: Any) -> None:
    config = model.network.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in sorted(model.tokenizer.get_vocab().items(), key=lambda pair: pair[1])])
    merges = json.loads(model.tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, parameter in model.network.named_parameters():
        weight = parameter.numpy()
        if "q_proj" in name:
            weight = interleaved(weight, config.num_attention_heads)
        if "k_proj" in name:
            weight = interleaved(weight, config.num_key_value_heads)
        stored = OUTSIDE.get(name) or "blk.{}.{}.weight".format(
            name.split(".")[2], NAMES[name.split(".", 3)[3].removesuffix(".weight")]
        )
        if weight.ndim == 2:
            writer.add_tensor(stored, gguf.quants.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(stored, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def original(tmp_path: Path) -> LoadedModel:
    """A tiny model, whose GGUF file is in the folder "it"."""
    model = tiny_model("llama")
    (tmp_path / "it").mkdir()
    write(model, tmp_path / "it" / "tiny.gguf", gguf.GGMLQuantizationType.Q8_0)
    model.tokenizer.save_pretrained(tmp_path / "tokenizer")
    return model


def load(place: Path) -> LoadedModel:
    return load_model(ModelRequest(str(place), device="cpu"), FAMILIES)


def test_its_weights_are_those_of_the_original_but_for_rounding(original: LoadedModel, tmp_path: Path) -> None:
    model = load(tmp_path / "it" / "tiny.gguf")
    for name, weight in original.network.named_parameters():
        given = model.network.get_parameter(name)
        assert (given - weight).norm() <= 0.01 * weight.norm(), name
    assert model.fingerprint == load(tmp_path / "it").fingerprint
    assert type(model.mlp_output(0).module) is torch.nn.Linear
    first, second = (render(note) for note in model.notes[:2])
    assert first == "the weights were read from tiny.gguf, and keep the losses of its quantisation, if it has one"
    assert second.startswith("the tokenizer was made from tiny.gguf, and may split texts differently")


def test_the_originals_tokenizer_beside_it_is_used(original: LoadedModel, tmp_path: Path) -> None:
    for file in (tmp_path / "tokenizer").iterdir():
        shutil.copy(file, tmp_path / "it")
    model = load(tmp_path / "it")
    assert model.tokenizer_fingerprint == original.tokenizer_fingerprint
    assert not any("the tokenizer was made" in render(note) for note in model.notes)
