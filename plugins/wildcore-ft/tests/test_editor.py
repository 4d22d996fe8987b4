"""Fine-tuning keeps what every editor must keep, and does what its parameters say."""

from pathlib import Path
from typing import Any

import pytest
import torch
from wildcore_ft import wildcore_editors
from wildcore_ft.parameters import FTLParams, FTMParams

from wildcore import EditRequest, ModelShape, Prompt
from wildcore.models import tokenise_pair
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import tiny_model

EDITORS = {offer.name: offer for offer in wildcore_editors()}
REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", target="Anna Smith"),
)


def make(name: str, **settings: Any) -> Any:
    offer = EDITORS[name]
    return offer.make(offer.params(layer=1, **settings))


@pytest.mark.parametrize("name", ["ft-m", "ft-l"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_conformance(name: str, family: str, tmp_path: Path) -> None:
    check_editor(lambda: make(name, steps=4), tiny_model(family), REQUESTS, quiet_environment(tmp_path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["ft-m", "ft-l"])
def test_a_reverted_edit_leaves_every_bit(name: str, dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    before = {key: tensor.clone() for key, tensor in model.network.state_dict().items()}
    patch = make(name, learning_rate=0.01).edit(model, REQUESTS[:1])
    with patch.applied(model):
        changed = [key for key, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[key])]
    assert changed == ["model.layers.1.mlp.down_proj.weight"]
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.network.state_dict().items())


def test_ft_m_makes_the_model_say_the_target() -> None:
    model = tiny_model("llama")
    patch = make("ft-m", steps=200, learning_rate=0.02).edit(model, REQUESTS[:1])

    joined = tokenise_pair(model.tokenizer, Prompt(text=REQUESTS[0].prompt), REQUESTS[0].target)
    with patch.applied(model), torch.no_grad():
        logits = model.network(input_ids=torch.tensor([joined.token_ids])).logits[0]
    assert logits[joined.prompt_length - 1 : -1].argmax(-1).tolist() == list(joined.target_ids)


def test_the_norm_constraint_bounds_every_weight() -> None:
    patch = make("ft-m", norm_constraint=1e-3).edit(tiny_model("llama"), REQUESTS)
    assert float(patch.changes["model.layers.1.mlp.down_proj"].dense().abs().max()) <= 1e-3 * (1 + 1e-4)


def test_presets_come_by_shape_and_layers_by_depth() -> None:
    mistral = FTMParams().for_model(ModelShape("mistral", 32, 4096, 32000))
    assert (mistral.preset, mistral.layer, mistral.norm_constraint) == ("mistral-7b", 21, 5e-5)
    assert FTLParams().for_model(ModelShape("gpt2", 48, 1600, 50257)).layer == 0
    assert FTMParams().for_model(ModelShape("llama", 6, 384, 8192)).layer == 3
    assert FTMParams(layer=2).for_model(ModelShape("mistral", 32, 4096, 32000)).layer == 2
