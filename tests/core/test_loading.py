"""Loading model folders: what loads, and one clear message for everything that does not."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from wildcore import UserError
from wildcore.architectures import built_in_families
from wildcore.cli.naming import COMMAND_LINE
from wildcore.errors import render
from wildcore.models import LoadedModel, ModelRequest, load_model, pick_device, read_shape
from wildcore.models.memory import parameter_count
from wildcore.testing.networks import HIDDEN, LAYERS, MODEL_TYPES, tiny_model

FAMILIES = {family.model_type: family for family in built_in_families()}
WEIGHTS = "model.safetensors"

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """A function that saves a tiny model and returns its folder."""

    def saved(model_type: str = "llama", name: str = "model", **choices: Any) -> Path:
        model = tiny_model(model_type, **choices)
        model.network.save_pretrained(tmp_path / name)
        model.tokenizer.save_pretrained(tmp_path / name)
        return tmp_path / name

    return saved


def load(folder: Path | str, **choices: Any) -> LoadedModel:
    return load_model(ModelRequest(str(folder), **choices), FAMILIES)


def refused(folder: Path | str, **choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, **choices)
    return caught.value.rendered(COMMAND_LINE)


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def logits(model: LoadedModel) -> torch.Tensor:
    ids = torch.tensor([model.tokenizer("The capital of Canada is")["input_ids"]])
    with torch.inference_mode():
        return model.network(ids).logits


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_saved_folder_loads_as_the_same_model(model_type: str, save: Save) -> None:
    original = tiny_model(model_type)
    loaded = load(save(model_type))
    assert loaded.notes == ()
    assert loaded.family is FAMILIES[model_type]
    torch.testing.assert_close(logits(loaded), logits(original))
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_a_dtype_asked_for_is_the_one_used(dtype: str, save: Save) -> None:
    model = load(save(), dtype=dtype)
    assert {parameter.dtype for parameter in model.network.parameters()} == {getattr(torch, dtype)}
    assert model.dtype is getattr(torch, dtype)
    assert model.notes == ()


def test_auto_runs_half_precision_weights_as_float32_on_a_cpu_and_says_so(save: Save) -> None:
    model = load(save(dtype=torch.bfloat16), device="cpu")
    assert model.dtype is torch.float32
    (note,) = model.notes
    assert "--dtype bfloat16 keeps them" in render(note, COMMAND_LINE)


def test_auto_runs_float64_weights_as_float32_and_says_how_to_keep_them(save: Save) -> None:
    model = load(save(dtype=torch.float64), device="cpu")
    assert model.dtype is torch.float32
    assert "--dtype float64 keeps them" in render(model.notes[0], COMMAND_LINE)


def test_device_map_auto_spreads_the_model_itself(save: Save) -> None:
    model = load(save(), device_map="auto")
    torch.testing.assert_close(logits(model).cpu(), logits(tiny_model("llama")))


def test_the_shape_is_read_without_the_weights(save: Save) -> None:
    folder = save("gpt2")
    (folder / WEIGHTS).unlink()
    shape = read_shape(ModelRequest(str(folder)), FAMILIES)
    assert (shape.model_type, shape.layers, shape.hidden_size) == ("gpt2", LAYERS, HIDDEN)


def test_a_missing_folder(tmp_path: Path) -> None:
    message = refused(tmp_path / "absent")
    assert str(tmp_path / "absent") in message
    assert "no such folder" in message


def test_a_name_that_the_hub_does_not_have(
    python: Callable[..., Any],
) -> None:
    code = (
        "from wildcore.models.loading import *\ntry: load_model(ModelRequest('nobody/nothing'), {})\n"
        "except UserError as error: print(error)"
    )
    done = python("-c", code, HF_HUB_OFFLINE="1")
    assert done.stdout.startswith("model 'nobody/nothing': neither a local folder nor reachable on the hub"), (
        done.stderr
    )


def test_a_revision_of_a_local_folder(save: Save) -> None:
    assert "has no revisions" in refused(save(), revision="main")


def test_a_folder_without_safetensors(save: Save) -> None:
    folder = save()
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    assert "no .safetensors file" in refused(folder)


def test_a_family_that_is_not_known(save: Save) -> None:
    folder = save()
    change_config(folder, model_type="opt")
    assert "'opt' is not a known family" in refused(folder)
    with pytest.raises(UserError, match="wildcore_families"):
        read_shape(ModelRequest(str(folder)), FAMILIES)


@pytest.mark.parametrize("content", ["{", "[]", "\x00", "{}"])
def test_a_broken_config(content: str, save: Save) -> None:
    folder = save()
    (folder / "config.json").write_text(content)
    assert "its config.json cannot be read" in refused(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("hidden_size", "many"), ("num_attention_heads", 5), ("model_type", "nosuch")]
)
def test_a_config_with_a_senseless_value(key: str, value: Any, save: Save) -> None:
    folder = save()
    change_config(folder, **{key: value})
    assert "its config.json cannot be read" in refused(folder)


def test_no_config(save: Save) -> None:
    folder = save()
    (folder / "config.json").unlink()
    assert "config.json" in refused(folder)


def header(content: bytes) -> bytes:
    return len(content).to_bytes(8, "little") + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a safetensors file at all",
        header(b"[]"),
        header(b'{"weight": 1}'),
        header(b'{"weight": {"shape": ["two"]}}'),
        header(b'{"weight": '),
        header(b"\xff\xfe\xfd"),
    ],
)
@pytest.mark.parametrize("device_map", [None, "auto"])
def test_a_broken_safetensors_header(content: bytes, device_map: str | None, save: Save) -> None:
    folder = save()
    (folder / WEIGHTS).write_bytes(content)
    message = refused(folder, device_map=device_map)
    assert str(folder) in message
    assert device_map or "fetch the model again" in message


def test_a_safetensors_file_cut_short(save: Save) -> None:
    folder = save()
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    assert "cannot be loaded" in refused(folder)


def test_a_model_too_large_for_the_memory_is_refused_before_its_weights_are_read(save: Save) -> None:
    folder = save()
    claim = {"huge": {"dtype": "F32", "shape": [10**7, 10**7], "data_offsets": [0, 4 * 10**14]}}
    (folder / WEIGHTS).write_bytes(header(json.dumps(claim).encode()))
    message = refused(folder, device="cpu", dtype="float32")
    assert f"--model {folder}" in message
    assert f"need {4 * 10**14 / 2**30:.1f} GiB as float32" in message
    assert "--dtype bfloat16" in message


def test_parameters_are_counted_once_where_the_folder_holds_them_twice(save: Save) -> None:
    folder = save()
    expected = sum(tensor.numel() for tensor in load_file(folder / WEIGHTS).values())
    (folder / "consolidated.safetensors").write_bytes((folder / WEIGHTS).read_bytes())
    assert parameter_count(folder) == expected
    (folder / WEIGHTS).unlink()
    tiny_model("llama").network.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert parameter_count(folder) == expected
    torch.testing.assert_close(logits(load(folder)), logits(tiny_model("llama")))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": []}'])
def test_a_broken_index_of_shards(content: str, save: Save) -> None:
    folder = save()
    (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(content)
    assert "model.safetensors.index.json" in refused(folder)


def test_a_shard_that_is_missing(save: Save) -> None:
    folder = save()
    (folder / WEIGHTS).unlink()
    tiny_model("llama").network.save_pretrained(folder, max_shard_size="40KB")
    lost = sorted(folder.glob("model-*.safetensors"))[-1]
    lost.unlink()
    assert lost.name in refused(folder)


def test_a_weight_that_the_files_lack_is_not_made_up(save: Save) -> None:
    folder = save()
    weights = load_file(folder / WEIGHTS)
    lost = "model.layers.1.mlp.down_proj.weight"
    del weights[lost]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    assert f"its files lack {lost}" in refused(folder)


def test_weights_of_another_shape_than_the_config_says_are_not_made_up(save: Save) -> None:
    folder = save()
    change_config(folder, vocab_size=700)
    assert "700" in refused(folder)


def test_weights_that_the_network_has_no_place_for_are_noted(save: Save) -> None:
    folder = save()
    change_config(folder, num_hidden_layers=LAYERS - 1)
    (note,) = load(folder).notes
    assert f"model.layers.{LAYERS - 1}." in note
    assert "left out" in note


def test_a_slow_tokenizer_has_no_offsets(save: Save) -> None:
    folder = save()
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    assert "a fast tokenizer is needed" in refused(folder)


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_broken_tokenizer(content: str | None, save: Save) -> None:
    folder = save()
    if content is None:
        (folder / "tokenizer.json").unlink()
    else:
        (folder / "tokenizer.json").write_text(content)
    assert f"--model {folder}: cannot be loaded" in refused(folder)


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda:-1", "cuda:99", "cuda:x", "meta", "xla"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(UserError, match=f"device '{name}': "):
        pick_device(name)


def test_devices_that_are_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")


def test_the_fingerprint_tells_weights_apart_and_is_equal_for_equal_ones(save: Save) -> None:
    first, again = load(save(name="first")), load(save(name="again"))
    assert first.fingerprint == again.fingerprint
    assert load(save(name="other", seed=1)).fingerprint != first.fingerprint
    assert load(save("mistral", name="mistral")).fingerprint != first.fingerprint


def test_the_fingerprint_covers_the_tokenizer(save: Save) -> None:
    folder = save()
    before = load(folder).fingerprint
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["merges"] = content["model"]["merges"][:-1]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert load(folder).fingerprint != before


def test_an_id_for_padding_is_one_that_the_network_has(save: Save) -> None:
    model = load(save())
    assert model.padding == model.tokenizer.pad_token_id
    model.tokenizer.add_special_tokens({"pad_token": "<added>"})
    assert model.tokenizer.pad_token_id >= model.shape.vocabulary
    assert model.padding < model.shape.vocabulary


def test_code_in_a_model_folder_is_not_run(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path])
    folder = save()
    witness = tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(witness)!r}).touch()\n"
    (folder / "modeling_own.py").write_text(code)
    (folder / "configuration_own.py").write_text(code)
    own = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    change_config(folder, auto_map=own)
    load(folder)
    change_config(folder, model_type="own")
    assert "cannot be read" in refused(folder)
    assert not witness.exists()
    with pytest.raises((UserError, AttributeError)):
        load(folder, trust_remote_code=True)
    assert witness.exists(), "the check above could not have failed"
