"""Running again from one layer's MLP output projection on gives what a whole pass gives, and leaves the model as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wildcore.inference import PartialForward
from wildcore.models import LoadedModel, pad
from wildcore.testing.conformance import ModelState
from wildcore.testing.networks import HIDDEN, LAYERS, MODEL_TYPES, WINDOWED, tiny_model

TEXTS = ("The capital of France is Rome.", "Who wrote it?", "The old book of the town was written by Anna Smith.")


@pytest.fixture(scope="module", params=MODEL_TYPES)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return tiny_model(request.param)


def batch(model: LoadedModel, side: str, texts: tuple[str, ...] = TEXTS) -> tuple[Tensor, Tensor, Tensor]:
    """Tokenise; return ids, mask and positions, as ``model.forward`` takes them."""
    rows = [model.tokenizer(text)["input_ids"] for text in texts]
    ids, mask = pad(rows, model.padding, side, model.device)
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


def change(outputs: Tensor) -> Tensor:
    """Make up a change of a projection's output."""
    return torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1))


@contextmanager
def added(module: nn.Module, delta: Tensor) -> Iterator[None]:
    """Add ``delta`` to what a module gives."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: output + delta)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_changed_output_gives_the_logits_and_gradients_of_a_whole_pass(
    model: LoadedModel, layer: int, side: str
) -> None:
    read = batch(model, side)
    real = read[1].bool()
    upper = PartialForward(model, layer, *read)
    delta = change(upper.outputs)

    whole = delta.clone().requires_grad_(True)
    with added(model.mlp_output(layer).module, whole):
        expected, _ = model.forward(*read)
    output = (upper.outputs + delta).requires_grad_(True)
    logits = model.head(upper.run(output))

    torch.testing.assert_close(logits[real], expected[real], rtol=1e-4, atol=1e-4)
    (wanted,) = torch.autograd.grad(expected[real].log_softmax(-1)[:, 5].sum(), whole)
    (found,) = torch.autograd.grad(logits[real].log_softmax(-1)[:, 5].sum(), output)
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-3, atol=1e-5)
    assert float((upper.run() - upper.run(output)).detach().abs().max()) > 0.1


def test_the_recording_is_the_model_as_it_is(model: LoadedModel) -> None:
    read = batch(model, "right")
    upper = PartialForward(model, 1, *read)
    projection = model.mlp_output(1)
    with torch.no_grad():
        assert torch.equal(model.head(upper.hidden), model.forward(*read)[0])
        assert torch.equal(projection.module(upper.inputs), upper.outputs)
        real = read[1].bool()
        torch.testing.assert_close(upper.run()[real], upper.hidden[real])
    assert not any(t.requires_grad for t in (upper.inputs, upper.outputs, upper.hidden))


@pytest.mark.parametrize("layer", range(LAYERS))
def test_tokens_in_a_cache_stand_before_the_batch(model: LoadedModel, layer: int) -> None:
    check_cache(model, layer)


@pytest.mark.parametrize("family", WINDOWED)
@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_cache_with_a_sliding_window(family: str, layer: int) -> None:
    check_cache(tiny_model(family, sliding_window=4), layer)


def check_cache(model: LoadedModel, layer: int) -> None:
    """Compare the tails of the texts, run behind a cache of their heads, with whole texts."""
    ids, mask, positions = batch(model, "left")
    cut = 6
    with torch.no_grad():
        _, cache = model.forward(ids[:, :-cut], mask[:, :-cut], positions[:, :-cut], logits_to_keep=1)
    held = cache.get_seq_length()
    states = [(kept.keys, kept.values) for kept in cache.layers]
    upper = PartialForward(model, layer, ids[:, -cut:], mask, positions[:, -cut:], cache)
    delta = change(upper.outputs)
    again = [model.head(upper.run(upper.outputs + delta)) for _ in range(2)]

    whole = torch.cat([torch.zeros(len(ids), ids.shape[1] - cut, HIDDEN), delta], dim=1)
    with added(model.mlp_output(layer).module, whole):
        expected, _ = model.forward(ids, mask, positions)
    torch.testing.assert_close(again[0], expected[:, -cut:], rtol=1e-4, atol=1e-4)
    assert torch.equal(again[0], again[1])
    assert cache.get_seq_length() == held
    assert all(
        kept.keys is keys and kept.values is values for kept, (keys, values) in zip(cache.layers, states, strict=True)
    )


@pytest.mark.parametrize("cached", [False, True])
def test_rows_that_are_kept_go_on_as_before(model: LoadedModel, cached: bool) -> None:
    ids, mask, positions = batch(model, "left")
    cache = None
    if cached:
        with torch.no_grad():
            _, cache = model.forward(ids[:, :-4], mask[:, :-4], positions[:, :-4], logits_to_keep=1)
        ids, positions = ids[:, -4:], positions[:, -4:]
    upper = PartialForward(model, 1, ids, mask, positions, cache)
    delta = change(upper.outputs)
    with torch.no_grad():
        of_all = upper.run(upper.outputs + delta)
        rows = torch.tensor([2, 0])
        upper.keep(rows)
        upper.keep(torch.tensor([1]))
        kept = upper.run(upper.outputs + delta[:1])
    real = mask[:1, -ids.shape[1] :].bool()
    torch.testing.assert_close(kept[real], of_all[:1][real], rtol=1e-4, atol=1e-4)
    assert cache is None or cache.layers[0].keys.shape[0] == len(TEXTS)


def halve(tensor: Tensor) -> None:
    tensor.mul_(0.5)


OVERWRITTEN: dict[str, Callable[[nn.Module], Any]] = {
    "the output": lambda layer: layer.mlp.register_forward_hook(lambda _module, _inputs, output: halve(output)),
    "the input": lambda layer: layer.mlp.down_proj.register_forward_hook(lambda _module, inputs, _: halve(inputs[0])),
    "the attention": lambda layer: layer.self_attn.register_forward_hook(lambda _module, _, output: halve(output[0])),
    "the MLP's input": lambda layer: layer.mlp.act_fn.register_forward_pre_hook(lambda _module, given: halve(given[0])),
    "the layer below": lambda layer: layer.input_layernorm.register_forward_pre_hook(lambda _, given: halve(given[0])),
}
"""Changes a tensor of a layer of llama in place, as some networks do, after it was recorded."""


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("what", OVERWRITTEN)
def test_a_network_may_change_a_recorded_tensor_in_place(what: str, inference: bool) -> None:
    model = tiny_model("llama")
    read = batch(model, "right")
    real = read[1].bool()
    OVERWRITTEN[what](model.layers[1])
    projection = model.mlp_output(1).module
    seen: list[Tensor] = []
    watch = projection.register_forward_pre_hook(lambda _module, given: seen.append(given[0].clone()))
    with torch.inference_mode(inference):
        upper = PartialForward(model, 1, *read)
    watch.remove()
    with torch.no_grad():
        torch.testing.assert_close(upper.inputs, seen[0])
        torch.testing.assert_close(upper.outputs, projection.forward(seen[0]))
    delta = change(upper.outputs)

    whole = delta.clone().requires_grad_(True)
    with added(projection, whole):
        expected, _ = model.forward(*read)
    output = (upper.outputs + delta).requires_grad_(True)
    given = output.detach().clone()
    hidden = [upper.run(output) for _ in range(2)]
    logits = model.head(hidden[1])

    assert torch.equal(*hidden)
    assert torch.equal(output, given)
    torch.testing.assert_close(logits[real], expected[real], rtol=1e-4, atol=1e-4)
    (wanted,) = torch.autograd.grad(expected[real].log_softmax(-1)[:, 5].sum(), whole)
    (found,) = torch.autograd.grad(logits[real].log_softmax(-1)[:, 5].sum(), output)
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-3, atol=1e-5)


def test_only_a_network_that_changes_tensors_in_place_is_run_twice_and_copied() -> None:
    model = tiny_model("llama")
    passes: list[None] = []
    model.network.base_model.register_forward_hook(lambda *_: passes.append(None))
    given: list[Tensor] = []
    handle = model.mlp_output(1).module.register_forward_hook(lambda _module, _inputs, output: given.append(output))
    upper = PartialForward(model, 1, *batch(model, "right"))
    assert len(passes) == 1
    assert upper.outputs is given[0]
    handle.remove()
    OVERWRITTEN["the output"](model.layers[1])
    PartialForward(model, 1, *batch(model, "right"))
    assert len(passes) == 3


def test_what_does_not_change_is_not_computed_again(model: LoadedModel) -> None:
    upper = PartialForward(model, 1, *batch(model, "right"))
    computed: list[str] = []
    forwards = {name: module.forward for name, module in model.network.named_modules() if not list(module.children())}
    for name, forward in forwards.items():
        model.network.get_submodule(name).forward = counting(name, forward, computed)
    try:
        upper.run(upper.outputs)
    finally:
        for name in forwards:
            del model.network.get_submodule(name).forward
    layers = model.family.layers
    assert not [name for name in computed if name.startswith(f"{layers}.0.")]
    heavy = (
        model.family.mlp_output,
        *model.family.mlp_input,
        *model.family.attention_input,
        model.family.attention_output,
    )
    assert not [name for name in heavy if f"{layers}.1.{name}" in computed]
    assert all(f"{layers}.2.{name}" in computed for name in heavy)


def counting(name: str, forward: Any, computed: list[str]) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        computed.append(name)
        return forward(*args, **kwargs)

    return run


def test_the_model_is_put_back_also_after_an_error(model: LoadedModel) -> None:
    before = ModelState.of(model)
    upper = PartialForward(model, 1, *batch(model, "right"))
    upper.run(upper.outputs)
    before.require(model, "run()")
    with pytest.raises(RuntimeError):
        upper.run(upper.outputs[:, :, :-1])
    before.require(model, "run() ended by an error")
    with pytest.raises((IndexError, RuntimeError)):
        PartialForward(model, 1, torch.full((1, 3), 10**6), torch.ones(1, 3), torch.arange(3)[None])
    before.require(model, "recording ended by an error")


def test_a_forward_of_its_own_that_a_module_has_is_kept() -> None:
    model = tiny_model("llama")
    layer = model.layers[0]
    own = layer.forward
    layer.forward = own  # as accelerate does where it places layers
    upper = PartialForward(model, 1, *batch(model, "right"))
    upper.run()
    assert vars(layer)["forward"] is own


def test_hooks_that_are_there_apply_once() -> None:
    model = tiny_model("llama")
    read = batch(model, "right")
    with (
        added(model.layers[0], torch.tensor(0.3)),
        added(model.projection("model.layers.1.mlp.up_proj").module, torch.tensor(0.2)),
    ):
        upper = PartialForward(model, 1, *read)
        expected, _ = model.forward(*read)
        real = read[1].bool()
        torch.testing.assert_close(model.head(upper.hidden), expected)
        torch.testing.assert_close(model.head(upper.run())[real], expected[real])


def test_what_works_token_by_token_is_given_no_filling(model: LoadedModel) -> None:
    read = batch(model, "right")
    upper = PartialForward(model, 0, *read)
    seen: list[torch.Size] = []
    watched = [model.projection(f"{model.family.layers}.1.{name}").module for name in model.family.mlp_input]
    hooks = [module.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].shape)) for module in watched]
    try:
        upper.run(upper.outputs)
        upper.keep(torch.tensor([2]))
        upper.run(upper.outputs)
    finally:
        for hook in hooks:
            hook.remove()
    lengths = read[1].sum(1)
    assert {shape[:2].numel() for shape in seen[: len(watched)]} == {int(lengths.sum())}
    assert {shape[:2].numel() for shape in seen[len(watched) :]} == {int(lengths[2])}


def test_the_head_makes_the_logits(model: LoadedModel) -> None:
    read = batch(model, "right")
    hidden = PartialForward(model, 0, *read).hidden
    expected = model.network(input_ids=read[0], attention_mask=read[1], position_ids=read[2]).logits
    assert torch.equal(model.head(hidden), expected)
    torch.testing.assert_close(model.head(hidden[1, 2]), expected[1, 2])


@pytest.mark.parametrize("family", ["gemma2", "gemma3_text"])
def test_the_head_bounds_logits_where_the_model_does(family: str) -> None:
    model = tiny_model(family)
    model.network.config.final_logit_softcapping = 2.0
    read = batch(model, "right")
    logits = model.head(PartialForward(model, 0, *read).hidden)
    assert float(logits.abs().max()) <= 2.0
    assert torch.equal(logits, model.forward(*read)[0])
