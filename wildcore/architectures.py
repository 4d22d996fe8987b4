"""Model families: the module paths of an architecture, found by ``config.model_type`` and never by a path; and the shapes of
the models used in publications, by which presets recognise them.

The built-in families are offered through the same hook as a plugin's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from wildcore.params import ModelShape


@dataclass(frozen=True)
class Family:
    """Module paths of one architecture. Those of a layer are relative to it, the others to the causal language model.

    ``attention_input`` and ``mlp_input`` list the projections that read the residual stream. A fused projection is one module
    that contains several (query, key and value; gate and up).
    """

    model_type: str
    layers: str
    final_norm: str
    head: str
    mlp_input: tuple[str, ...]
    mlp_output: str
    attention_input: tuple[str, ...]
    attention_output: str


def _llama_like(model_type: str) -> Family:
    return Family(
        model_type=model_type,
        layers="model.layers",
        final_norm="model.norm",
        head="lm_head",
        mlp_input=("mlp.gate_proj", "mlp.up_proj"),
        mlp_output="mlp.down_proj",
        attention_input=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_output="self_attn.o_proj",
    )


PHI3 = Family(
    model_type="phi3",
    layers="model.layers",
    final_norm="model.norm",
    head="lm_head",
    mlp_input=("mlp.gate_up_proj",),
    mlp_output="mlp.down_proj",
    attention_input=("self_attn.qkv_proj",),
    attention_output="self_attn.o_proj",
)
GPT2 = Family(
    model_type="gpt2",
    layers="transformer.h",
    final_norm="transformer.ln_f",
    head="lm_head",
    mlp_input=("mlp.c_fc",),
    mlp_output="mlp.c_proj",
    attention_input=("attn.c_attn",),
    attention_output="attn.c_proj",
)
GPTJ = Family(
    model_type="gptj",
    layers="transformer.h",
    final_norm="transformer.ln_f",
    head="lm_head",
    mlp_input=("mlp.fc_in",),
    mlp_output="mlp.fc_out",
    attention_input=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
    attention_output="attn.out_proj",
)
GPT_NEOX = Family(
    model_type="gpt_neox",
    layers="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    head="lm_head",
    mlp_input=("mlp.dense_h_to_4h",),
    mlp_output="mlp.dense_4h_to_h",
    attention_input=("attention.query_key_value",),
    attention_output="attention.dense",
)
LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2")


def built_in_families() -> Iterable[Family]:
    """Return the families known without any plugin."""
    return (*(_llama_like(model_type) for model_type in LLAMA_LIKE), PHI3, GPT2, GPTJ, GPT_NEOX)


GPT2_MEDIUM = ModelShape("gpt2", 24, 1024, 50257)
GPT2_LARGE = ModelShape("gpt2", 36, 1280, 50257)
GPT2_XL = ModelShape("gpt2", 48, 1600, 50257)
GPT_J_6B = ModelShape("gptj", 28, 4096, 50400)
GPT_NEOX_20B = ModelShape("gpt_neox", 44, 6144, 50432)
LLAMA_2_7B = ModelShape("llama", 32, 4096, 32000)
LLAMA_3_8B = ModelShape("llama", 32, 4096, 128256)
"""Also the shape of Llama 3.1."""
LLAMA_3_2_3B = ModelShape("llama", 28, 3072, 128256)
MISTRAL_7B = ModelShape("mistral", 32, 4096, 32000)
"""Up to version 0.2."""
MISTRAL_7B_V0_3 = ModelShape("mistral", 32, 4096, 32768)
QWEN_2_5_7B = ModelShape("qwen2", 28, 3584, 152064)
"""Also the shape of Qwen2-7B."""
PHI_4 = ModelShape("phi3", 40, 5120, 100352)
