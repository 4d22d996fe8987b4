"""Quantised weights are turned back into ordinary ones while loading, and this is said; or the model is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from wildcore import UserError
from wildcore.architectures import built_in_families
from wildcore.cli.naming import COMMAND_LINE
from wildcore.errors import render
from wildcore.models import LoadedModel, ModelRequest, hash_of_weights, load_model
from wildcore.models.checks import require_editable
from wildcore.patches.weights import Dense, WeightPatch
from wildcore.testing.networks import tiny_model

FAMILIES = {family.model_type: family for family in built_in_families()}
BLOCK = 16
LARGEST_FP8 = 448.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a tiny model with ordinary weights."""
    model = tiny_model("llama")
    model.network.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def say(folder: Path, **quantisation: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantisation}))


def load(folder: Path | str, **choices: Any) -> LoadedModel:
    return load_model(ModelRequest(str(folder), device="cpu", **choices), FAMILIES)


def refused(folder: Path | str, **choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, **choices)
    return caught.value.rendered(COMMAND_LINE)


def as_fp8(folder: Path) -> dict[str, torch.Tensor]:
    """Store the projections as FP8 codes with one scale for each block; return what the codes stand for."""
    stored, meant = {}, {}
    for name, weight in load_file(folder / "model.safetensors").items():
        if not name.endswith("proj.weight"):
            stored[name] = weight
            continue
        rows, columns = weight.shape
        blocks = weight.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        scale = blocks.abs().amax(dim=(1, 3)) / LARGEST_FP8
        codes = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
        stored[name] = codes.reshape(rows, columns)
        stored[name.replace("weight", "weight_scale_inv")] = scale
        meant[name] = (codes.float() * scale[:, None, :, None]).reshape(rows, columns)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    say(folder, quant_method="fp8", activation_scheme="dynamic", weight_block_size=[BLOCK, BLOCK])
    return meant


def test_fp8_weights_are_what_their_codes_stand_for(folder: Path) -> None:
    meant = as_fp8(folder)
    model = load(folder)
    for name, weight in meant.items():
        torch.testing.assert_close(model.network.get_parameter(name), weight, rtol=1e-6, atol=1e-7)
    assert "stored quantised (fp8); they were turned back" in render(model.notes[0], COMMAND_LINE)
    assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}


def test_a_dequantised_model_saves_as_an_ordinary_one_with_the_same_fingerprint(folder: Path, tmp_path: Path) -> None:
    as_fp8(folder)
    model = load(folder)
    model.network.save_pretrained(tmp_path / "saved")
    model.tokenizer.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.notes == ()
    assert again.fingerprint == model.fingerprint


def test_the_weights_of_a_dequantised_model_do_not_change_by_use(folder: Path) -> None:
    as_fp8(folder)
    model = load(folder)
    before = hash_of_weights(model.network)
    ids = torch.tensor([[3, 4, 5]])
    projection = model.mlp_output(1)
    patch = WeightPatch({projection.name: Dense(torch.ones_like(projection.weight))})
    plain = model.network(ids).logits
    with patch.applied(model):
        assert not torch.equal(model.network(ids).logits, plain)
    assert torch.equal(model.network(ids).logits, plain)
    assert hash_of_weights(model.network) == before


@pytest.mark.parametrize("method", ["gptq", "awq", "hqq", "aqlm", "quanto", "torchao", "modelopt"])
def test_a_method_without_a_way_back_is_refused_by_its_name(method: str, folder: Path) -> None:
    say(folder, quant_method=method, bits=4)
    message = refused(folder)
    assert f"its weights are quantised (quant_method {method}, 4 bits)" in message
    assert "take the model that was quantised, which its card names" in message


@pytest.mark.parametrize(
    ("said", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
def test_a_missing_package_is_named(
    said: dict[str, Any], package: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_fp8(folder)
    say(folder, **said)
    monkeypatch.setattr("wildcore.models.quantised.find_spec", lambda name: None)
    assert f"needs the package {package}: pip install {package}; or take the model" in refused(folder)


def test_ordinary_weights_under_a_configuration_of_codes_are_used_and_this_is_said(folder: Path) -> None:
    plain = load(folder).fingerprint
    say(folder, quant_method="bitsandbytes", load_in_4bit=True)
    model = load(folder)
    assert model.fingerprint == plain
    assert "(bitsandbytes, 4 bits), but the files hold ordinary weights" in render(model.notes[0], COMMAND_LINE)


def test_codes_without_a_word_in_the_configuration_are_recognised(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(key for key in weights if key.endswith("down_proj.weight"))
    weights[name.replace(".weight", ".qweight")] = torch.zeros(4, 4, dtype=torch.int32)
    del weights[name]
    save_file(weights, path, metadata={"format": "pt"})
    assert "the files hold model.layers.0.mlp.down_proj.qweight" in refused(folder)


@pytest.mark.parametrize("bits", [4, 8])
def test_bitsandbytes_codes_are_turned_back(bits: int, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8)
    codes = AutoModelForCausalLM.from_pretrained(folder, quantization_config=how, device_map="cpu")
    codes.save_pretrained(tmp_path / "codes")
    shutil.copy(folder / "tokenizer.json", tmp_path / "codes")
    shutil.copy(folder / "tokenizer_config.json", tmp_path / "codes")
    model, plain = load(tmp_path / "codes"), load(folder)
    wanted, given = plain.mlp_output(0).weight, model.mlp_output(0).weight
    assert given.shape == wanted.shape
    assert 0 < (given - wanted).norm() / wanted.norm() < (0.15 if bits == 4 else 0.02)
    assert f"stored quantised (bitsandbytes, {bits} bits)" in render(model.notes[0], COMMAND_LINE)


def test_compressed_tensors_are_turned_back(folder: Path) -> None:
    pytest.importorskip("compressed_tensors")
    stored, meant = {}, {}
    for name, weight in load_file(folder / "model.safetensors").items():
        stored[name] = weight
        if name.endswith("proj.weight"):
            scale = weight.abs().amax(dim=1, keepdim=True) / LARGEST_FP8
            stored[name] = (weight / scale).to(torch.float8_e4m3fn)
            stored[f"{name}_scale"] = scale
            meant[name] = stored[name].float() * scale
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    codes = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel", "dynamic": False}
    group = {"targets": ["Linear"], "weights": codes, "input_activations": None}
    say(
        folder,
        quant_method="compressed-tensors",
        format="float-quantized",
        quantization_status="compressed",
        ignore=["lm_head"],
        config_groups={"group_0": group},
    )
    model = load(folder)
    for name, weight in meant.items():
        torch.testing.assert_close(model.network.get_parameter(name), weight, rtol=1e-2, atol=1e-4)


class Scaled(torch.nn.Linear):
    """A linear map that multiplies by something other than its weight."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(inputs)


class Plain(torch.nn.Linear):
    """A linear map of another class that multiplies by its weight."""


@pytest.mark.parametrize("foreign", [Scaled, Plain])
def test_a_foreign_linear_map_must_multiply_by_its_weight(foreign: type[torch.nn.Linear]) -> None:
    model = tiny_model("llama")
    ordinary = model.mlp_output(1).module
    changed = foreign(ordinary.in_features, ordinary.out_features, bias=False)
    model.network.set_submodule("model.layers.1.mlp.down_proj", changed)
    if foreign is Plain:
        return require_editable(model.network, model.family, "m")
    with pytest.raises(UserError, match=r"model.layers.1.mlp.down_proj \(Scaled\) computes something else"):
        require_editable(model.network, model.family, "m")
    return None


def test_codes_in_a_layer_are_refused() -> None:
    model = tiny_model("llama")
    weight = model.mlp_output(2).module.weight
    model.mlp_output(2).module.weight = torch.nn.Parameter(weight.to(torch.int8), requires_grad=False)
    with pytest.raises(UserError, match=r"model.layers.2.mlp.down_proj holds codes \(int8\)"):
        require_editable(model.network, model.family, "m")
