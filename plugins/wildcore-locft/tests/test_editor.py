"""LocFT-BF keeps what every editor must keep, and does what its parameters say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from wildcore_locft import breadth_first
from wildcore_locft.breadth_first import shuffled, train_breadth_first
from wildcore_locft.editor import LocFT, trained_maps
from wildcore_locft.parameters import LocFTParams

from wildcore import EditRequest, ModelShape, Prompt, Refused
from wildcore.models import LoadedModel, tokenise_pair
from wildcore.patches import WeightPatch
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import MODEL_TYPES, tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", target="Anna Smith"),
    EditRequest(prompt="Red is", target="the colour of the old green house"),
    EditRequest(prompt="The river of the town", target="is red and it is old"),
)
DOUBLE = {family: tiny_model(family, dtype=torch.float64) for family in ("llama", "gpt2")}


def make(**settings: Any) -> LocFT:
    return LocFT(LocFTParams(layer=1, **settings))


def dense(patch: object) -> Tensor:
    """Return all changes of a patch as one vector."""
    assert isinstance(patch, WeightPatch)
    return torch.cat([change.dense().flatten() for change in patch.changes.values()])


def plain(made: LocFT, model: LoadedModel, requests: Sequence[EditRequest], seed: int = 0) -> Tensor:
    """Return what the loop over epochs and mini-batches makes, for any number of requests."""
    names = trained_maps(model, 1, made.params.module)
    asked = [made._asked(model, request) for request in requests]
    return torch.cat([c.flatten() for c in train_breadth_first(model, names, asked, made.params, seed).values()])


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {"batch_size": 1}),
        ("gpt2", {}),
        ("phi3", {"module": "mlp"}),
        ("llama", {"module": "layer"}),
        ("gpt2", {"module": "attention"}),
    ],
)
def test_conformance(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    make_editor = lambda: make(epochs=3, learning_rate=2e-3, **settings)  # noqa: E731
    check_editor(make_editor, tiny_model(family), REQUESTS[:2], quiet_environment(tmp_path))


def test_the_edited_model_says_every_target_and_then_ends() -> None:
    model = tiny_model("llama")
    patch = make(epochs=200, batch_size=2, learning_rate=0.02).edit(model, REQUESTS)
    for request in REQUESTS:
        row = tokenise_pair(model.tokenizer, Prompt(text=request.prompt), request.target, "end-of-sequence")
        assert row.target_ids[-1] == model.tokenizer.eos_token_id
        with patch.applied(model), torch.no_grad():
            logits = model.network(input_ids=torch.tensor([row.token_ids])).logits[0]
        assert logits[row.prompt_length - 1 : -1].argmax(-1).tolist() == list(row.target_ids)


@pytest.mark.parametrize("family", sorted(DOUBLE))
def test_requests_of_one_batch_are_trained_side_by_side_with_the_same_result(family: str) -> None:
    model, made = DOUBLE[family], make(epochs=6)
    assert relative_error(dense(made.edit(model, REQUESTS)), plain(made, model, REQUESTS)) < 1e-5
    for patch, request in zip(made.edit_each(model, REQUESTS), REQUESTS, strict=True):
        assert relative_error(dense(patch), plain(made, model, [request])) < 1e-5


@pytest.mark.parametrize("family", MODEL_TYPES)
@pytest.mark.parametrize("module", ["mlp", "attention", "layer"])
def test_every_family_has_the_maps_and_the_patch_changes_them_alone(family: str, module: str) -> None:
    model = tiny_model(family)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    patch = make(module=module, epochs=1).edit(model, REQUESTS)
    with patch.applied(model):
        changed = {n for n, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changed == {f"{name}.weight" for name in trained_maps(model, 1, module)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_a_layer_is_its_attention_and_its_mlp() -> None:
    model = tiny_model("llama")
    attention, mlp = (trained_maps(model, 1, module) for module in ("attention", "mlp"))
    assert trained_maps(model, 1, "layer") == [*attention, *mlp]
    assert trained_maps(model, 1, "mlp-output") == [model.mlp_output(1).name]


@given(st.integers(1, 30), st.integers(0, 2**31))
def test_each_epoch_has_every_request_once_in_an_order_that_the_seed_decides(count: int, seed: int) -> None:
    orders = list(shuffled(count, 5, seed))
    assert [sorted(order) for order in orders] == [list(range(count))] * 5
    assert orders == list(shuffled(count, 5, seed))


def test_the_order_differs_between_epochs_and_seeds() -> None:
    first, second = shuffled(50, 2, seed=0)
    assert len({tuple(order) for order in (first, second, next(shuffled(50, 1, seed=1)))}) == 3


def test_the_runs_seed_decides_the_order(tmp_path: Path) -> None:
    model, made = DOUBLE["llama"], make(epochs=2, batch_size=2)
    made.prepare(model, quiet_environment(tmp_path, seed=5))
    assert torch.equal(dense(made.edit(model, REQUESTS)), plain(made, model, REQUESTS, seed=5))
    assert relative_error(plain(made, model, REQUESTS, seed=6), plain(made, model, REQUESTS, seed=5)) > 1e-3


def test_training_ends_when_the_mean_over_an_epochs_requests_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.009, 0.5, 0.008, 0.013, 0.5, 0.5])  # of three requests and of one: 0.13 and 0.00925 on average
    monkeypatch.setattr(breadth_first, "_step", lambda *arguments: next(losses))
    plain(make(batch_size=3, epochs=3), DOUBLE["llama"], REQUESTS)
    assert list(losses) == [0.5, 0.5]


@pytest.mark.parametrize("module", ["mlp-output", "mlp"])
def test_a_request_that_cannot_be_trained_is_refused_and_the_others_are_edited(module: str) -> None:
    model, made = tiny_model("llama"), make(epochs=3, module=module)
    empty = EditRequest(prompt="The capital of France is", target=" ", subject="France")
    made = LocFT(made.params.model_copy(update={"close_target": "none"}))
    first, refused, last = made.edit_each(model, [REQUESTS[0], empty, REQUESTS[2]])
    assert isinstance(refused, Refused)
    for patch, request in ((first, REQUESTS[0]), (last, REQUESTS[2])):
        assert relative_error(dense(patch), dense(made.edit(model, [request]))) < 1e-4
    with pytest.raises(Refused, match="empty"):
        made.edit(model, [empty])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_no_step_is_too_small_for_the_weight(dtype: torch.dtype) -> None:
    model, made = tiny_model("llama", dtype=dtype), make(epochs=4, batch_size=2, learning_rate=1e-5, module="mlp")
    assert float((dense(made.edit(model, REQUESTS)).abs() > 1e-6).float().mean()) > 0.95


def test_presets_come_by_shape_and_layers_by_depth() -> None:
    llama = LocFTParams().for_model(ModelShape("llama", 32, 4096, 128256))
    assert (llama.preset, llama.layer, llama.module, llama.learning_rate) == ("llama-3-8b", 22, "mlp-output", 5e-4)
    mistral = LocFTParams().for_model(ModelShape("mistral", 32, 4096, 32000))
    assert (mistral.preset, mistral.layer, mistral.module, mistral.learning_rate) == ("mistral-7b", 23, "layer", 5e-5)
    assert LocFTParams().for_model(ModelShape("qwen2", 28, 3584, 152064)).layer == 6
    other = LocFTParams().for_model(ModelShape("llama", 6, 256, 4096))
    assert (other.preset, other.layer, other.epochs, other.batch_size) == ("none", 4, 25, 100)
    assert LocFTParams(layer=2).for_model(ModelShape("qwen2", 28, 3584, 152064)).layer == 2
