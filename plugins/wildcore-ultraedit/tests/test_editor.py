"""UltraEdit keeps what every editor must keep, and does what its parameters say."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from wildcore_ultraedit import editor as module
from wildcore_ultraedit.editor import UltraEdit
from wildcore_ultraedit.features import joined, read_features
from wildcore_ultraedit.parameters import UltraEditParams

from wildcore import EditRequest, ModelShape, Refused, UserError
from wildcore.models import LoadedModel, TokenisedPair, training_pair
from wildcore.patches import WeightPatch
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import MODEL_TYPES, tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome in the old days"),
    EditRequest(prompt="Who wrote the old book of the town?", target="Anna Smith"),
    EditRequest(prompt="Red is", target="the colour of the old green house"),
    EditRequest(prompt="The river of the town", target="is red and it is old"),
)
ONE_TOKEN = EditRequest(prompt="The capital of France is", target="a")
LLAMA = ModelShape("llama", 6, 384, 8192)
EDITED = ("model.layers.0.mlp.up_proj", "model.layers.0.mlp.gate_proj", "model.layers.1.mlp.down_proj")


def make(**settings: Any) -> UltraEdit:
    return UltraEdit(UltraEditParams(**{"layer": 1, "learning_rate": 1e-3} | settings))


def dense(patch: object) -> Tensor:
    """Return all changes of a patch as one vector."""
    assert isinstance(patch, WeightPatch)
    return torch.cat([change.dense().flatten() for change in patch.changes.values()])


def rows(model: LoadedModel) -> list[TokenisedPair]:
    return [training_pair(model, request) for request in REQUESTS]


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {}),
        ("gpt2", {"tokens": "all"}),
        ("phi3", {"batch_variance": "sample"}),
        ("llama", {"layer": None, "modules": EDITED}),
    ],
)
def test_conformance(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    check_editor(lambda: make(**settings), tiny_model(family), REQUESTS[:3], quiet_environment(tmp_path))


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_the_patch_changes_the_maps_named_and_nothing_else(family: str) -> None:
    model = tiny_model(family)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    with make().edit(model, REQUESTS).applied(model):
        changed = {n for n, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changed == {f"{model.mlp_output(layer).name}.weight" for layer in (0, 1)}


@pytest.mark.parametrize("family", ["llama", "gpt2", "gptj", "gemma2"])
@pytest.mark.parametrize("together", [True, False])
def test_hidden_states_and_gradients_make_up_the_gradient_of_the_weights(family: str, together: bool) -> None:
    """Summed over all tokens, their outer products are what automatic differentiation gives, text by text."""
    model = tiny_model(family, dtype=torch.float64)
    names = [model.mlp_output(1).name, f"{model.family.layers}.0.{model.family.mlp_input[0]}"]
    read = read_features(model, names, rows(model), every_token=True, together=together)
    answers = [len(row.target_ids) for row in rows(model)]
    for row, features, count in zip(rows(model), read, answers, strict=True):
        share = count / sum(answers) if together else 1.0
        for name, wanted in _weight_gradients(model, names, row).items():
            found = features[name].gradients.T @ features[name].hidden
            assert relative_error(found, share * wanted) < 1e-5


def _weight_gradients(model: LoadedModel, names: list[str], row: TokenisedPair) -> dict[str, Tensor]:
    """Return the gradient of the mean loss of a row's target by each weight [outputs, inputs]."""
    weights = {f"{name}.weight": model.projection(name).module.weight.clone().requires_grad_(True) for name in names}
    with torch.enable_grad():
        inputs = {"input_ids": torch.tensor([row.token_ids]), "use_cache": False}
        logits = functional_call(model.network, weights, kwargs=inputs, tie_weights=False).logits[0]
        loss = cross_entropy(logits[row.prompt_length - 1 : -1], torch.tensor(row.target_ids))
        gradients = torch.autograd.grad(loss, list(weights.values()))
    transposed = [model.projection(name).transposed for name in names]
    return {n: g.T if t else g for n, g, t in zip(names, gradients, transposed, strict=True)}


def test_a_network_may_change_an_output_in_place() -> None:
    found = []
    for halve in (lambda _module, _inputs, output: output.mul_(0.5), lambda _module, _inputs, output: output * 0.5):
        model = tiny_model("llama")
        model.layers[1].mlp.register_forward_hook(halve)
        read = read_features(model, EDITED[-1:], rows(model), every_token=False, together=True)
        found.append([features[EDITED[-1]].joined for features in read])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_features_are_those_of_the_tokens_that_are_asked_or_of_all_that_are_read() -> None:
    model = tiny_model("llama")
    names = [model.mlp_output(1).name]
    asked = read_features(model, names, rows(model), every_token=False, together=True)
    every = read_features(model, names, rows(model), every_token=True, together=True)
    for row, few, all_of_them in zip(rows(model), asked, every, strict=True):
        assert len(few[names[0]].hidden) == len(row.target_ids)
        assert len(all_of_them[names[0]].hidden) == len(row.token_ids) - 1
        tail = all_of_them[names[0]].joined[row.prompt_length - 1 :]
        assert torch.equal(few[names[0]].joined, tail)
    assert len(joined(asked)[names[0]].hidden) == sum(len(row.target_ids) for row in rows(model))


def test_an_edit_makes_the_targets_likelier() -> None:
    model = tiny_model("llama")
    patch = make(learning_rate=3e-3).edit(model, REQUESTS)

    def loss() -> float:
        losses = []
        for row in rows(model):
            with torch.no_grad():
                logits = model.network(input_ids=torch.tensor([row.token_ids])).logits[0]
            losses.append(float(cross_entropy(logits[row.prompt_length - 1 : -1], torch.tensor(row.target_ids))))
        return sum(losses)

    before = loss()
    with patch.applied(model):
        assert loss() < 0.9 * before


def test_an_edit_depends_on_those_before_it_until_reset_and_independent_ones_leave_no_trace() -> None:
    model, made = tiny_model("llama"), make()
    first = dense(made.edit(model, REQUESTS[:2]))
    state = made.state
    made.edit_each(model, REQUESTS)
    assert made.state.facts == state.facts
    assert all(torch.equal(made.state.tensors[name], tensor) for name, tensor in state.tensors.items())
    assert relative_error(dense(made.edit(model, REQUESTS[:2])), first) > 1e-2
    made.reset()
    assert made.state.facts == {"counts": {}}
    assert torch.equal(dense(made.edit(model, REQUESTS[:2])), first)


def test_in_how_many_batches_independent_texts_are_read_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, made = tiny_model("llama"), make()
    expected = made.edit_each(model, REQUESTS)
    monkeypatch.setattr(module, "REQUESTS_TOGETHER", 3)
    for found, wanted in zip(made.edit_each(model, REQUESTS), expected, strict=True):
        assert relative_error(dense(found), dense(wanted)) < 1e-4


def test_what_cannot_be_edited_is_refused_and_leaves_no_trace() -> None:
    model, made = tiny_model("llama"), make(layer_count=1)
    empty = EditRequest(prompt="The capital of France is", target=" ")
    first, no_target, one_token, last = made.edit_each(model, [REQUESTS[0], empty, ONE_TOKEN, REQUESTS[1]])
    assert isinstance(no_target, Refused)
    assert "empty" in str(no_target)
    assert isinstance(one_token, Refused)
    assert "close_target=end-of-sequence" in str(one_token)
    for patch, request in ((first, REQUESTS[0]), (last, REQUESTS[1])):
        assert relative_error(dense(patch), dense(make(layer_count=1).edit(model, [request]))) < 1e-4
    with pytest.raises(Refused, match="one token"):
        made.edit(model, [ONE_TOKEN])
    assert made.state.facts == {"counts": {}}
    made.edit(model, REQUESTS)
    assert isinstance(made.edit(model, [ONE_TOKEN]), WeightPatch)
    assert make(layer_count=1, close_target="end-of-sequence").edit(model, [ONE_TOKEN]).describe()["finite"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_the_update_is_finite_and_no_rounding_error(dtype: torch.dtype) -> None:
    found = dense(make().edit(tiny_model("llama", dtype=dtype), REQUESTS))
    expected = dense(make().edit(tiny_model("llama"), REQUESTS))
    assert relative_error(found, expected) < 0.3


@pytest.mark.parametrize("name", ["model.layers.1.mlp.down", "model.norm", "model.embed_tokens", "model.layers.1.mlp"])
def test_a_module_that_is_no_linear_map_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'model\..*' is no linear map of this model; .*model.layers.0.mlp.down_proj"):
        make(layer=None, modules=(name,)).prepare(tiny_model("llama"), quiet_environment(tmp_path))


def test_presets_come_by_shape() -> None:
    mistral = UltraEditParams().for_model(ModelShape("mistral", 32, 4096, 32768))
    assert (mistral.preset, mistral.layer, mistral.learning_rate) == ("mistral-7b-v0.3", None, 1e-6)
    assert mistral.modules == ("model.layers.29.mlp.down_proj", "model.layers.30.mlp.down_proj")
    llama = UltraEditParams().for_model(ModelShape("llama", 32, 4096, 128256))
    assert llama.modules is not None
    assert [len([name for name in llama.modules if part in name]) for part in ("gate_proj", "up_proj")] == [5, 7]
    assert llama.for_model(ModelShape("llama", 32, 4096, 128256)) == llama
    other = UltraEditParams(layer=3).for_model(ModelShape("llama", 32, 4096, 128256))
    assert (other.modules, other.layer, other.preset, other.learning_rate) == (None, 3, "llama-3-8b", 1e-6)
    one = UltraEditParams(modules=("a.b",)).for_model(ModelShape("llama", 32, 4096, 128256))
    assert (one.modules, one.layer) == (("a.b",), None)


def test_without_a_preset_the_last_but_one_layer_is_the_last_edited_and_the_rate_goes_by_the_width() -> None:
    made = UltraEditParams().for_model(LLAMA)
    assert (made.preset, made.modules, made.layer, made.layer_count) == ("none", None, 4, 2)
    assert made.learning_rate == pytest.approx(1e-6 * (4096 / 384) ** 3)
    assert UltraEditParams().for_model(ModelShape("olmo2", 32, 4096, 100352)).learning_rate == pytest.approx(1e-6)
    assert UltraEditParams(learning_rate=0.5).for_model(LLAMA).learning_rate == 0.5
    assert UltraEditParams().for_model(ModelShape("llama", 1, 384, 8192)).layer == 0
    assert made.for_model(LLAMA) == made


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 6}, "layers 0 to 5"),
        ({"layer": 1, "modules": ("model.layers.1.mlp.up_proj",)}, "leave one of them out"),
        ({"modules": ("a", "a")}, "each module once"),
        ({"preset": "mistral"}, "no such preset"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        UltraEditParams(**settings).for_model(LLAMA)
