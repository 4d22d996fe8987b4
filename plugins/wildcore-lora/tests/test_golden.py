"""The edit against peft, the reference implementation of LoRA, in a plain loop that shares nothing with the plugin.

The loop wraps the network by ``get_peft_model``, takes transformers' own loss on labels that mask the prompt, and steps with
torch's Adam. Merging is peft's, too.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from wildcore_lora import wildcore_editors

from wildcore import EditRequest
from wildcore.architectures import built_in_families
from wildcore.models import LoadedModel, ModelRequest, load_model
from wildcore.patches import WeightPatch
from wildcore.testing.golden import TINY_MODELS, far, near, relative_error

pytestmark = pytest.mark.golden
(OFFER,) = wildcore_editors()
REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", target="Anna Smith"),
)
AGREEMENT = 2e-4
STEPS = 12
MODULES = {"tiny-llama": ["q_proj", "v_proj"], "tiny-gpt2": ["c_attn"]}


def load(name: str) -> LoadedModel:
    families = {family.model_type: family for family in built_in_families()}
    return load_model(ModelRequest(name, folder=TINY_MODELS / name, dtype="float32", device="cpu"), families)


def texts(model: LoadedModel, requests: Sequence[EditRequest]) -> list[dict[str, Tensor]]:
    """Return for each request the ids of prompt and target, and labels that mask the prompt."""
    made = []
    for request in requests:
        prompt = model.tokenizer(request.prompt)["input_ids"]
        ids = torch.tensor([model.tokenizer(f"{request.prompt} {request.target}")["input_ids"]])
        assert ids[0, : len(prompt)].tolist() == prompt, "the tokens of the prompt alone must begin those of the whole"
        labels = ids.clone()
        labels[0, : len(prompt)] = -100
        made.append({"input_ids": ids, "labels": labels})
    return made


def trained_by_peft(
    name: str, requests: Sequence[EditRequest], dropout: float = 0.0, seed: int = 0, weight_decay: float = 0.0
) -> Any:
    """Return peft's model after training on the requests together, each counting alike."""
    model = load(name)
    rows = texts(model, requests)
    settings = {"target_modules": MODULES[name], "fan_in_fan_out": name == "tiny-gpt2", "task_type": "CAUSAL_LM"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = get_peft_model(model.network, LoraConfig(r=8, lora_alpha=32, lora_dropout=dropout, **settings))
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimiser = torch.optim.Adam(trained, lr=5e-3, weight_decay=weight_decay)
        for _ in range(STEPS):
            optimiser.zero_grad()
            torch.stack([network(**row).loss for row in rows]).mean().backward()
            optimiser.step()
    return network


def edit(model: LoadedModel, requests: Sequence[EditRequest], seed: int = 0, **settings: Any) -> WeightPatch:
    editor = OFFER.make(OFFER.params(**{"modules": MODULES[model.request.name], "steps": STEPS, **settings}))
    editor.seed = seed
    patch = editor.edit(model, requests)
    assert isinstance(patch, WeightPatch)
    return patch


def changes_by_peft(network: Any) -> dict[str, Tensor]:
    """Return each module's change, laid out as the module stores its weight."""
    prefix = "base_model.model."
    layers = {n.removeprefix(prefix): m for n, m in network.named_modules() if hasattr(m, "get_delta_weight")}
    return {name: layer.get_delta_weight("default").detach() for name, layer in layers.items()}


@pytest.mark.parametrize(
    ("count", "settings"), [(1, {}), (1, {"seed": 5, "weight_decay": 0.1}), (1, {"seed": 3, "dropout": 0.1}), (2, {})]
)
@pytest.mark.parametrize("name", MODULES)
def test_the_change_is_what_peft_makes(name: str, count: int, settings: dict[str, Any]) -> None:
    model = load(name)
    patch = edit(model, REQUESTS[:count], **settings)
    expected = changes_by_peft(trained_by_peft(name, REQUESTS[:count], **settings))
    assert patch.changes.keys() == expected.keys()
    for module, change in patch.changes.items():
        found = change.dense().T if model.projection(module).transposed else change.dense()
        assert float(expected[module].norm()) > 1e-3
        assert near(relative_error(found, expected[module]), AGREEMENT)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("wrong", [{"steps": STEPS - 1}, {"alpha": 31}, {"weight_decay": 0.1}], ids=str)
def test_a_wrong_method_is_told_from_rounding(name: str, wrong: dict[str, Any]) -> None:
    model = load(name)
    patch = edit(model, REQUESTS[:1], **wrong)
    for module, expected in changes_by_peft(trained_by_peft(name, REQUESTS[:1])).items():
        change = patch.changes[module].dense()
        assert far(relative_error(change.T if model.projection(module).transposed else change, expected), AGREEMENT)


@pytest.mark.parametrize("name", MODULES)
def test_the_edited_weights_are_what_peft_merges(name: str) -> None:
    model = load(name)
    before = {key: tensor.clone() for key, tensor in model.network.state_dict().items()}
    merged = trained_by_peft(name, REQUESTS[:1]).merge_and_unload().state_dict()
    with edit(model, REQUESTS[:1]).applied(model):
        patched = {key: tensor.clone() for key, tensor in model.network.state_dict().items()}
    assert patched.keys() == merged.keys()
    changed = {key for key in merged if not torch.equal(merged[key], before[key])}
    assert changed == {key for key in patched if not torch.equal(patched[key], before[key])}
    assert len(changed) == len(model.layers) * len(MODULES[name])
    for key in changed:
        torch.testing.assert_close(patched[key], merged[key], rtol=0, atol=1e-5)
        assert near(relative_error(patched[key] - before[key], merged[key] - before[key]), AGREEMENT)
