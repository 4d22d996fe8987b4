"""LoRA keeps what every editor must keep, and does what its parameters say."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy
from wildcore_lora import training, wildcore_editors
from wildcore_lora.parameters import LoraParams

from wildcore import EditRequest, ModelShape, Prompt, Refused, UserError
from wildcore.models import LoadedModel, tokenise_pair
from wildcore.patches import WeightPatch
from wildcore.testing.conformance import ModelState, check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import MODEL_TYPES, tiny_model

(OFFER,) = wildcore_editors()
REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book that everyone in the town has read?", target="Anna Smith"),
    EditRequest(prompt="Red is", target="the colour of the old green house"),
)
ROLES = ("attention-input", "attention-output", "mlp-input", "mlp-output")
DOUBLE = tiny_model("llama", dtype=torch.float64)


def make(seed: int = 0, **parameters: Any) -> Any:
    editor = OFFER.make(OFFER.params(**parameters))
    editor.seed = seed
    return editor


def dense(patch: WeightPatch) -> Tensor:
    """Return all changes as one vector."""
    return torch.cat([patch.changes[name].dense().flatten() for name in sorted(patch.changes)])


def loss(model: LoadedModel, request: EditRequest) -> float:
    """Return the mean negative log-probability of the target's tokens, of one text alone."""
    row = tokenise_pair(model.tokenizer, Prompt(text=request.prompt), request.target)
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([row.token_ids])).logits[0, row.prompt_length - 1 : -1]
    return float(cross_entropy(logits, torch.tensor(row.target_ids)))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "phi3"])
def test_conformance(family: str, tmp_path: Path) -> None:
    check_editor(lambda: make(steps=4), tiny_model(family), REQUESTS[:2], quiet_environment(tmp_path))


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_every_role_is_adapted_in_every_family_without_a_warning(family: str) -> None:
    model = tiny_model(family)
    before = ModelState.of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patch = make(modules=ROLES, steps=3).edit(model, REQUESTS[:1])
    before.require(model, "edit()")
    assert not hasattr(model.network, "peft_config")
    known = model.family
    paths = (*known.attention_input, known.attention_output, *known.mlp_input, known.mlp_output)
    assert set(patch.changes) == {f"{known.layers}.{layer}.{path}" for layer in range(3) for path in paths}
    for name, change in patch.changes.items():
        assert change.dense().shape == model.projection(name).weight.shape
        assert 0 < float(change.dense().norm()) < float("inf")
    unedited = loss(model, REQUESTS[0])
    with patch.applied(model):
        assert loss(model, REQUESTS[0]) < unedited


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_the_patched_network_answers_as_the_adapted_one(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, adapted = tiny_model(family), []
    train = training.train

    def watched(model: LoadedModel, *rest: Any) -> None:
        train(model, *rest)
        adapted.append(loss(model, REQUESTS[0]))

    monkeypatch.setattr("wildcore_lora.editor.train", watched)
    patch = make(modules=ROLES, steps=3, rank=2).edit(model, REQUESTS[:1])
    with patch.applied(model):
        assert loss(model, REQUESTS[0]) == pytest.approx(adapted[0], rel=1e-4)


def test_the_model_says_all_targets_of_one_edit() -> None:
    model = tiny_model("llama")
    patch = make(steps=300, loss_threshold=0.2).edit(model, REQUESTS)
    with patch.applied(model):
        for request in REQUESTS:
            row = tokenise_pair(model.tokenizer, Prompt(text=request.prompt), request.target)
            logits = model.network(input_ids=torch.tensor([row.token_ids])).logits[0]
            assert logits[row.prompt_length - 1 : -1].argmax(-1).tolist() == list(row.target_ids)


def test_training_ends_at_the_first_loss_below_the_threshold() -> None:
    model = tiny_model("llama")
    bound = 2.0
    steps = next(n for n in range(1, 70) if loss_after(model, make(steps=n)) < bound)
    assert 1 < steps < 69
    ended = make(loss_threshold=bound).edit(model, REQUESTS[:1])
    assert torch.equal(dense(ended), dense(make(steps=steps).edit(model, REQUESTS[:1])))


def loss_after(model: LoadedModel, editor: Any) -> float:
    with editor.edit(model, REQUESTS[:1]).applied(model):
        return loss(model, REQUESTS[0])


@given(max_batch_size=st.integers(1, 4), order=st.permutations(REQUESTS))
@settings(max_examples=12, deadline=None)
def test_requests_are_trained_together_whatever_their_order_and_batch(
    max_batch_size: int, order: list[EditRequest]
) -> None:
    editor = make(steps=5)
    expected = dense(editor.edit(DOUBLE, REQUESTS))
    DOUBLE.max_batch_size = max_batch_size
    try:
        found = dense(editor.edit(DOUBLE, order))
    finally:
        DOUBLE.max_batch_size = None
    assert relative_error(found, expected) < 1e-5


def test_the_seed_is_that_of_the_run(tmp_path: Path) -> None:
    model, editor = tiny_model("llama"), make(steps=2)
    editor.prepare(model, quiet_environment(tmp_path, seed=7))
    assert torch.equal(dense(editor.edit(model, REQUESTS[:1])), dense(make(steps=2, seed=7).edit(model, REQUESTS[:1])))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_seed_alone_decides_what_is_drawn(dropout: float) -> None:
    model, changes = tiny_model("gpt2"), []
    for global_seed, seed in ((1, 0), (2, 0), (2, 7)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            state = torch.random.get_rng_state()
            changes.append(dense(make(steps=3, dropout=dropout, seed=seed).edit(model, REQUESTS[:1])))
            assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(changes[0], changes[1])
    assert relative_error(changes[2], changes[0]) > 0.1


def test_dropout_changes_the_edit_and_is_off_afterwards() -> None:
    model = tiny_model("llama")
    without, under = (make(steps=5, dropout=share).edit(model, REQUESTS[:1]) for share in (0.0, 0.5))
    assert relative_error(dense(under), dense(without)) > 0.01
    assert not any(module.training for module in model.network.modules())


def test_rank_alpha_and_layers_shape_the_patch() -> None:
    model = tiny_model("llama")
    patch = make(rank=2, layers=[2, 0], modules=["mlp.down_proj", "mlp-output", "q_proj"]).edit(model, REQUESTS[:1])
    expected = [f"model.layers.{layer}.{path}" for layer in (0, 2) for path in ("mlp.down_proj", "self_attn.q_proj")]
    assert sorted(patch.changes) == sorted(expected)
    assert {change.left.shape[1] for change in patch.changes.values()} == {2}
    one_step = [dense(make(alpha=alpha, steps=1).edit(model, REQUESTS[:1])) for alpha in (8.0, 16.0)]
    assert (
        relative_error(2 * one_step[0], one_step[1]) < 1e-3
    )  # Adam's first step has one size, whatever the gradient's


def test_closing_the_target_trains_its_end() -> None:
    model = tiny_model("llama")
    plain, closed = (make(steps=3, close_target=c).edit(model, REQUESTS[:1]) for c in ("none", "end-of-sequence"))
    assert relative_error(dense(closed), dense(plain)) > 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_no_step_is_too_small_for_an_adapter(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    before = ModelState.of(model)
    patch = make(steps=4, learning_rate=1e-5, modules=["mlp-output"]).edit(model, REQUESTS[:1])
    before.require(model, "edit()")
    moved = torch.cat([change.left.flatten() for change in patch.changes.values()])
    assert moved.dtype is torch.float32
    assert float((moved.abs() > 1e-6).float().mean()) > 0.95


def test_an_interrupted_edit_leaves_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt2")
    before = ModelState.of(model)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wildcore_lora.editor.train", fail)
    with pytest.raises(KeyboardInterrupt):
        make().edit(model, REQUESTS)
    before.require(model, "an interrupted edit()")
    assert not hasattr(model.network, "peft_config")


def test_a_request_that_cannot_be_trained_is_refused_and_the_others_are_edited() -> None:
    model = tiny_model("llama")
    empty = EditRequest(prompt="The capital of France is", target=" ")
    first, refused = make(steps=2).edit_each(model, [REQUESTS[0], empty])
    assert isinstance(first, WeightPatch)
    assert isinstance(refused, Refused)
    assert "empty" in str(refused)


def test_an_unknown_module_is_named_before_the_first_edit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"editor.modules: gpt2 has no 'q_proj'; .*mlp-output.*c_attn"):
        make(modules=["q_proj"]).prepare(tiny_model("gpt2"), quiet_environment(tmp_path))


def test_presets_come_by_shape_and_are_completed_without_a_single_layer() -> None:
    qwen = LoraParams().for_model(ModelShape("qwen2", 28, 3584, 152064))
    assert (qwen.preset, qwen.steps, qwen.dropout, qwen.modules) == ("qwen2.5-7b", 60, 0.1, ("q_proj", "v_proj"))
    llama = ModelShape("llama", 32, 4096, 128256)
    assert LoraParams().for_model(llama).steps == 70
    assert LoraParams(preset="llama-3.1-8b", rank=2).for_model(llama).model_dump(include={"steps", "rank"}) == {
        "steps": 50,
        "rank": 2,
    }
    other = LoraParams(layers=(5,)).for_model(ModelShape("llama", 6, 384, 8192))
    assert (other.preset, other.layer, other.layers, other.dropout) == ("none", None, (5,), 0.0)


@pytest.mark.parametrize(
    ("given_parameters", "message"),
    [({"layer": 3}, r"choose editor.layers=\[3\]"), ({"layers": (1, 6)}, "the model has layers 0 to 5, not 6")],
)
def test_layers_that_cannot_be_meant_are_refused(given_parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LoraParams(**given_parameters).for_model(ModelShape("llama", 6, 384, 8192))
