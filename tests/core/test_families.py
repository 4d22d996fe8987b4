"""Where the parts of every built-in family are, and how a plugin adds another."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from wildcore import Family, UserError
from wildcore.architectures import built_in_families
from wildcore.models import LoadedModel, ModelRequest
from wildcore.models.loading import family_of
from wildcore.testing.networks import HIDDEN, INTERMEDIATE, LAYERS, MODEL_TYPES, tiny_model

FAMILIES = {family.model_type: family for family in built_in_families()}
MIDDLE = 1


@pytest.fixture(scope="module", params=MODEL_TYPES)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return tiny_model(request.param)


def ids_of(model: LoadedModel) -> Tensor:
    return torch.tensor([model.tokenizer("The capital of Canada is Ottawa.")["input_ids"]])


def in_layer(model: LoadedModel, names: tuple[str, ...]) -> list[str]:
    return [f"{model.family.layers}.{MIDDLE}.{name}" for name in names]


def test_layers_are_all_layers_of_the_network(model: LoadedModel) -> None:
    assert len(model.layers) == LAYERS == model.shape.layers
    assert model.shape.hidden_size == HIDDEN
    assert model.shape.vocabulary == len(model.tokenizer)
    assert model.shape.model_type == model.family.model_type


def test_mlp_output_maps_intermediate_to_hidden(model: LoadedModel) -> None:
    assert tuple(model.mlp_output(MIDDLE).weight.shape) == (HIDDEN, INTERMEDIATE)


def test_mlp_input_reads_the_residual_stream(model: LoadedModel) -> None:
    shapes = [tuple(model.projection(name).weight.shape) for name in in_layer(model, model.family.mlp_input)]
    gated = model.family.model_type not in ("gpt2", "gptj", "gpt_neox")
    assert sum(outputs for outputs, _ in shapes) == INTERMEDIATE * (2 if gated else 1)
    assert {inputs for _, inputs in shapes} == {HIDDEN}


def test_attention_input_has_the_summed_width_of_query_key_and_value(model: LoadedModel) -> None:
    config = model.network.config
    shapes = [tuple(model.projection(name).weight.shape) for name in in_layer(model, model.family.attention_input)]
    head = HIDDEN // config.num_attention_heads
    key_value_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    assert sum(outputs for outputs, _ in shapes) == head * (config.num_attention_heads + 2 * key_value_heads)
    assert {inputs for _, inputs in shapes} == {HIDDEN}


def test_attention_output_writes_into_the_residual_stream(model: LoadedModel) -> None:
    (name,) = in_layer(model, (model.family.attention_output,))
    assert tuple(model.projection(name).weight.shape) == (HIDDEN, HIDDEN)


def test_final_norm_then_head_make_the_logits(model: LoadedModel) -> None:
    norm = model.network.get_submodule(model.family.final_norm)
    head = model.network.get_submodule(model.family.head)
    assert head is model.network.get_output_embeddings()
    seen: list[Tensor] = []
    with torch.inference_mode(), hooked(norm, seen):
        logits = model.network(ids_of(model)).logits
        by_hand = head(seen[0])
    softcap = getattr(model.network.config, "final_logit_softcapping", None)
    expected = torch.tanh(by_hand / softcap) * softcap if softcap else by_hand
    torch.testing.assert_close(logits, expected)


def test_mlp_output_is_what_the_mlp_gives_to_the_residual_stream(model: LoadedModel) -> None:
    seen: list[Tensor] = []
    with torch.inference_mode(), hooked(model.mlp_output(MIDDLE).module, seen):
        model.network(ids_of(model))
    assert seen[0].shape[-1] == HIDDEN


def test_writing_into_the_weight_view_changes_the_logits_and_writing_back_restores_them(model: LoadedModel) -> None:
    ids = ids_of(model)
    with torch.inference_mode():
        before = model.network(ids).logits
        weight = model.mlp_output(MIDDLE).weight
        original = weight.clone()
        weight.add_(1.0)
        changed = model.network(ids).logits
        weight.copy_(original)
        after = model.network(ids).logits
    assert not torch.allclose(before, changed)
    assert torch.equal(before, after)


def test_the_projection_computes_weight_times_input(model: LoadedModel) -> None:
    projection = model.mlp_output(MIDDLE)
    values = torch.randn(4, INTERMEDIATE, generator=torch.Generator().manual_seed(0))
    bias = getattr(projection.module, "bias", None)
    expected = values @ projection.weight.T + (bias if bias is not None else 0)
    with torch.inference_mode():
        torch.testing.assert_close(projection.module(values), expected, rtol=1e-4, atol=1e-4)


def test_a_projection_is_named_as_the_network_names_its_module(model: LoadedModel) -> None:
    projection = model.mlp_output(MIDDLE)
    assert dict(model.network.named_modules())[projection.name] is projection.module


def test_transposed_storage_is_met_in_gpt2() -> None:
    assert isinstance(tiny_model("gpt2").mlp_output(0).module, Conv1D)
    assert tiny_model("gpt2").mlp_output(0).transposed
    assert not tiny_model("llama").mlp_output(0).transposed


def test_weights_are_frozen_and_the_network_evaluates(model: LoadedModel) -> None:
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


def test_an_unknown_family_says_how_a_plugin_adds_one() -> None:
    with pytest.raises(UserError, match="wildcore_families") as caught:
        family_of(AutoConfig.for_model("opt"), FAMILIES)
    assert "'opt'" in str(caught.value)
    assert "wildcore describe model NAME" in str(caught.value)


def test_a_family_that_a_plugin_adds_works_like_a_built_in_one() -> None:
    added = Family(
        model_type="opt",
        layers="model.decoder.layers",
        final_norm="model.decoder.final_layer_norm",
        head="lm_head",
        mlp_input=("fc1",),
        mlp_output="fc2",
        attention_input=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_output="self_attn.out_proj",
    )
    config = AutoConfig.for_model(
        "opt", vocab_size=64, hidden_size=HIDDEN, word_embed_proj_dim=HIDDEN, ffn_dim=INTERMEDIATE, num_hidden_layers=2,
        num_attention_heads=2,
    )  # fmt: skip
    assert family_of(config, {**FAMILIES, "opt": added}) is added
    model = LoadedModel(AutoModelForCausalLM.from_config(config), None, added, ModelRequest(name="opt"))
    assert len(model.layers) == 2
    assert tuple(model.mlp_output(1).weight.shape) == (HIDDEN, INTERMEDIATE)


def test_families_differ_by_model_type_and_are_frozen() -> None:
    families = list(built_in_families())
    assert len({family.model_type for family in families}) == len(families)
    with pytest.raises(dataclasses.FrozenInstanceError):
        families[0].layers = "elsewhere"  # type: ignore[misc]


class hooked:
    """Collect the outputs of a module while the block runs."""

    def __init__(self, module: nn.Module, seen: list[Tensor]) -> None:
        self.handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.handle.remove()
