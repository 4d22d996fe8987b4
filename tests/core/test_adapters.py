"""Adapters of the library peft: recognised, merged when asked, and never added to a model unasked."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from wildcore import UserError
from wildcore.architectures import built_in_families
from wildcore.cli.naming import COMMAND_LINE
from wildcore.errors import render
from wildcore.models import LoadedModel, ModelRequest, load_model, read_shape
from wildcore.testing.networks import tiny_model

peft = pytest.importorskip("peft")
FAMILIES = {family.model_type: family for family in built_in_families()}
IDS = torch.tensor([[5, 9, 30, 12]])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of a tiny model."""
    model = tiny_model("llama")
    model.network.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def adapter(base: Path, **settings: Any) -> tuple[Path, torch.Tensor]:
    """Save an adapter beside its base model; return its folder, and peft's own logits of base model and adapter."""
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", **settings
    )
    network = tiny_model("llama").network
    network.config._name_or_path = network.name_or_path = str(base)
    wrapped = peft.get_peft_model(network, config)
    generator = torch.Generator().manual_seed(1)
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator) / 10
    wrapped.save_pretrained(base.parent / "adapter")
    wrapped.eval()
    with torch.no_grad():
        return base.parent / "adapter", wrapped(input_ids=IDS).logits


def load(folder: Path, **choices: Any) -> LoadedModel:
    return load_model(ModelRequest(str(folder), device="cpu", **choices), FAMILIES)


def refused(folder: Path, **choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, **choices)
    return caught.value.rendered(COMMAND_LINE)


def logits(model: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        return model.network(input_ids=IDS).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "settings",
    [{}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 32}, "rank_pattern": {"q_proj": 2}}, {"use_dora": True}],
)
def test_a_merged_adapter_computes_what_peft_computes(settings: dict[str, Any], base: Path) -> None:
    folder, wanted = adapter(base, **settings)
    model = load(folder, merge_adapter=True)
    torch.testing.assert_close(logits(model), wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(model), logits(load(base)), atol=1e-2)
    assert render(model.notes[-1]) == f"the adapter (LORA) in {folder} was merged into {base}"
    assert type(model.mlp_output(0).module) is torch.nn.Linear
    assert read_shape(ModelRequest(str(folder), merge_adapter=True), FAMILIES) == model.shape


def test_a_merged_model_saves_as_an_ordinary_one_with_the_same_fingerprint(base: Path, tmp_path: Path) -> None:
    model = load(adapter(base)[0], merge_adapter=True)
    model.network.save_pretrained(tmp_path / "merged")
    model.tokenizer.save_pretrained(tmp_path / "merged")
    again = load(tmp_path / "merged")
    assert again.fingerprint == model.fingerprint
    assert again.notes == ()


@pytest.mark.parametrize("with_config", [False, True])
def test_an_adapter_alone_is_refused_with_the_base_model_and_the_way_out(with_config: bool, base: Path) -> None:
    folder, _ = adapter(base)
    if with_config:
        shutil.copy(base / "config.json", folder)
    assert refused(folder) == (
        f"--model {folder}: it holds an adapter (LORA) for the base model {base}, not a whole model; --merge-adapter merges it "
        "into the base model while loading"
    )


def test_an_adapter_beside_a_whole_model_is_not_used_and_this_is_said(base: Path) -> None:
    plain = logits(load(base))
    folder, _ = adapter(base)
    for file in folder.glob("adapter_*"):
        shutil.copy(file, base)
    model = load(base)
    assert torch.equal(logits(model), plain)
    assert "also holds an adapter (LORA for" in render(model.notes[0])
    assert "not clear which weights are meant" in refused(base, merge_adapter=True)


def test_a_base_model_that_is_not_there_is_named(base: Path) -> None:
    folder, _ = adapter(base)
    shutil.rmtree(base)
    message = refused(folder, merge_adapter=True)
    assert message.startswith(
        f"--model {folder}: its base model {base}: no such folder; download the base model, and write"
    )


def test_a_base_model_beside_the_adapter_is_found_by_its_relative_name(base: Path) -> None:
    folder, wanted = adapter(base)
    change(folder, base_model_name_or_path="../base")
    torch.testing.assert_close(logits(load(folder, merge_adapter=True)), wanted, rtol=1e-4, atol=1e-4)


def test_an_adapter_that_does_not_fit_its_base_model_is_refused(base: Path) -> None:
    folder, _ = adapter(base)
    gpt2 = tiny_model("gpt2")
    gpt2.network.save_pretrained(base.parent / "gpt2")
    gpt2.tokenizer.save_pretrained(base.parent / "gpt2")
    change(folder, base_model_name_or_path=str(base.parent / "gpt2"))
    assert "its adapter (LORA) cannot be merged into" in refused(folder, merge_adapter=True)


def test_an_adapter_of_other_layers_is_refused(base: Path) -> None:
    """peft itself would leave the tensors that it finds no place for out, with a warning."""
    folder, _ = adapter(base)
    change(folder, target_modules=["q_proj"])
    assert "is in only one of the two" in refused(folder, merge_adapter=True)


def test_pickled_weights_of_an_adapter_are_refused(base: Path) -> None:
    folder, _ = adapter(base)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert "can run code and is not loaded" in refused(folder, merge_adapter=True)


@pytest.mark.parametrize("content", ["{", "{}", '{"peft_type": "LORA", "base_model_name_or_path": null}'])
def test_a_damaged_adapter_config_is_one_message(content: str, base: Path) -> None:
    folder, _ = adapter(base)
    (folder / "adapter_config.json").write_text(content)
    assert "its adapter_config.json" in refused(folder, merge_adapter=True)


def change(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
