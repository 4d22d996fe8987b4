"""The conformance check of families: every built-in one passes it, families of plugins with heads of their own too."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from wildcore import UserError
from wildcore.architectures import Family, built_in_families
from wildcore.models import LoadedModel
from wildcore.testing.families import check_family
from wildcore.testing.networks import MODEL_TYPES, random_model, tiny_model

LLAMA = next(family for family in built_in_families() if family.model_type == "llama")
SIZES = {
    "vocab_size": 600,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
PHI = Family(
    model_type="phi",
    layers="model.layers",
    final_norm="model.final_layernorm",
    head="lm_head",
    mlp_input=("mlp.fc1",),
    mlp_output="mlp.fc2",
    attention_input=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_output="self_attn.dense",
)
BLOOM = Family(
    model_type="bloom",
    layers="transformer.h",
    final_norm="transformer.ln_f",
    head="lm_head",
    mlp_input=("mlp.dense_h_to_4h",),
    mlp_output="mlp.dense_4h_to_h",
    attention_input=("self_attention.query_key_value",),
    attention_output="self_attention.dense",
)
OPT = Family(
    model_type="opt",
    layers="model.decoder.layers",
    final_norm="model.decoder.final_layer_norm",
    head="lm_head",
    mlp_input=("fc1",),
    mlp_output="fc2",
    attention_input=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_output="self_attn.out_proj",
)
FALCON = replace(BLOOM, model_type="falcon")
FALCON_SIZES = {"ffn_hidden_size": 32, "head_dim": None}
OTHERS: dict[str, tuple[Family, dict[str, Any]]] = {
    "granite": (LLAMA, {"logits_scaling": 6.0, "residual_multiplier": 0.4, "embedding_multiplier": 3.0}),
    "cohere": (LLAMA, {"logit_scale": 0.25}),
    "cohere2": (LLAMA, {"logit_scale": 0.25}),
    "gemma2": (LLAMA, {"final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}),
    "smollm3": (LLAMA, {}),
    "phi": (PHI, {"tie_word_embeddings": False}),
    "stablelm": (LLAMA, {}),
    "bloom": (BLOOM, {"n_layer": 2, "n_head": 2}),
    "opt": (OPT, {"ffn_dim": 32, "word_embed_proj_dim": 16}),
    "falcon": (FALCON, FALCON_SIZES),
    "falcon, new": (FALCON, FALCON_SIZES | {"new_decoder_architecture": True, "num_kv_heads": 1}),
    "falcon, sequential": (FALCON, FALCON_SIZES | {"parallel_attn": False, "alibi": True, "bias": True}),
}
"""Families with logit scaling, with soft-capping, with layers without positions, with a bias in the head, with blocks that return
tuples and take other arguments (bloom), with a decoder that the network calls directly (opt), and with blocks that change the
MLP's output in place (falcon). A setting of None is left out."""


def other(name: str) -> LoadedModel:
    family, own = OTHERS[name]
    model_type = name.partition(",")[0]
    settings = {key: value for key, value in (SIZES | own).items() if value is not None}
    config = AutoConfig.for_model(model_type, **settings)
    return random_model(replace(family, model_type=model_type), config)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_built_in_family_passes(model_type: str) -> None:
    check_family(tiny_model(model_type))


@pytest.mark.parametrize("model_type", OTHERS)
def test_families_with_a_head_of_their_own_pass(model_type: str) -> None:
    model = other(model_type)
    if model_type == "phi":
        torch.nn.init.normal_(model.network.lm_head.bias)
    check_family(model)


@pytest.mark.parametrize("model_type", ["granite", "cohere", "gemma2"])
def test_the_head_is_more_than_a_matrix(model_type: str) -> None:
    model = other(model_type)
    hidden = torch.randn(3, SIZES["hidden_size"])
    assert not torch.allclose(model.head(hidden), model.network.lm_head(hidden))


def test_a_wrong_path_is_found() -> None:
    model = tiny_model("llama")
    with pytest.raises(
        UserError, match=r"does not have the modules that the family llama names \(no layer has mlp.c_proj\)"
    ):
        check_family(replace(model, family=replace(LLAMA, mlp_output="mlp.c_proj")))


def test_a_layer_that_computes_something_else_is_found() -> None:
    """A block whose MLP output is not what the family names, as if a plugin had named another projection."""
    model = tiny_model("llama")
    wrong = replace(LLAMA, mlp_input=("mlp.gate_proj",), final_norm="model.layers.2")
    with pytest.raises(AssertionError, match="logits of the head"):
        check_family(replace(model, family=wrong))
