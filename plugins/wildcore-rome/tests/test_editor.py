"""ROME keeps what every editor must keep, and does what its parameters say."""

from pathlib import Path

import pytest
import torch
from wildcore_rome.editor import Rome
from wildcore_rome.parameters import RomeParams, RRomeParams

from wildcore import EditRequest, ModelShape, UserError
from wildcore.models import LoadedModel
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
)
QUICK = {"layer": 1, "steps": 4, "moment_tokens": 300, "prefix_lengths": ((5, 2),), "damping": 0.1}


@pytest.mark.parametrize("params", [RomeParams(**QUICK), RRomeParams(**QUICK)], ids=["rome", "r-rome"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_conformance(params: RomeParams, family: str, tmp_path: Path) -> None:
    check_editor(lambda: Rome(params), tiny_model(family), REQUESTS, quiet_environment(tmp_path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_reverted_edit_leaves_every_bit(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    patch = Rome(RomeParams(layer=1, second_moments="identity")).edit(model, REQUESTS[:1])
    with patch.applied(model):
        changed = [n for n, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[n])]
    assert changed == ["model.layers.1.mlp.down_proj.weight"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_several_requests_are_written_one_on_top_of_the_other() -> None:
    model, editor = tiny_model("llama"), Rome(RomeParams(layer=1, second_moments="identity"))
    both = editor.edit(model, REQUESTS)
    first = editor.edit(model, REQUESTS[:1])
    with first.applied(model):
        second = editor.edit(model, REQUESTS[1:])
    expected = sum(change.dense() for patch in (first, second) for change in patch.changes.values())
    assert torch.allclose(next(iter(both.changes.values())).dense(), expected, atol=1e-5)


@pytest.mark.parametrize("close", ["end-of-sequence", "stop"])
def test_closing_the_target_makes_another_edit(close: str) -> None:
    model = tiny_model("llama")
    plain, closed = (
        Rome(RomeParams(layer=1, second_moments="identity", close_target=way)).edit(model, REQUESTS[:1])
        for way in ("none", close)
    )
    assert not torch.equal(*(next(iter(patch.changes.values())).dense() for patch in (plain, closed)))


def test_the_edited_key_gets_the_value() -> None:
    """W' k = v for the key that the update replaces (Meng et al. 2022, equation 2)."""
    model: LoadedModel = tiny_model("gpt2")
    editor = Rome(RomeParams(layer=1, second_moments="identity"))
    keys, values = editor._keys_and_values(model, REQUESTS[:1])[0]
    patch = editor.edit(model, REQUESTS[:1])
    with patch.applied(model):
        _, edited = editor._keys_and_values(model, REQUESTS[:1])[0]
    change = next(iter(patch.changes.values()))
    assert torch.allclose(edited[0], values[0] + change.dense() @ keys[0], atol=1e-4)


def test_presets_come_by_shape_and_layers_by_depth() -> None:
    llama = RomeParams().for_model(ModelShape("llama", 32, 4096, 32000))
    assert (llama.preset, llama.layer, llama.second_moments) == ("llama-2-7b", 5, "identity")
    gpt2 = RomeParams().for_model(ModelShape("gpt2", 48, 1600, 50257))
    assert (gpt2.layer, gpt2.steps, gpt2.weight_decay) == (17, 20, 0.5)
    other = RomeParams().for_model(ModelShape("llama", 6, 384, 8192))
    assert (other.preset, other.layer) == ("none", 0)
    with pytest.raises(UserError, match="layers 0 to 5"):
        RomeParams(layer=6).for_model(ModelShape("llama", 6, 384, 8192))
