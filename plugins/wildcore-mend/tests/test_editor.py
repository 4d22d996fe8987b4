from pathlib import Path
from typing import Any

import pytest
import torch
import wildcore_mend.editor as module
from wildcore_mend.editor import Mend
from wildcore_mend.examples import generator_for, hash_of
from wildcore_mend.gradients import edited_modules, gradients
from wildcore_mend.network import HyperNetwork
from wildcore_mend.parameters import MendParams

from wildcore import EditCase, EditRequest, Environment, ModelShape, Probe, Prompt, Refused, Saved, Trace, UserError
from wildcore.models import LoadedModel, tokenise_pair, training_pair
from wildcore.patches import LowRank, WeightPatch
from wildcore.testing.conformance import SilentProgress, check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import MODEL_TYPES, tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
    EditRequest(prompt="Marie Curie began in the year", subject="Marie Curie", target="1984"),
)
CASES = tuple(
    EditCase(
        id=str(number),
        request=EditRequest(prompt=f"The mark of place {number} is", target=word),
        probes=(Probe(kind="locality", prompt=f"Land {number} lies in the", answers=("north",)),),
    )
    for number, word in enumerate(("red", "Rome", "north", "1984", "Anna", "the sea", "iron", "glass", "May", "seven"))
)
QUICK = {"rank": 6, "steps": 10, "accumulate": 5, "validate_every": 5, "learning_rate": 1e-3, "edit_rate": -1e-3}
LLAMA = ModelShape("llama", 6, 384, 8192)


def quick(model: LoadedModel, **changes: Any) -> MendParams:
    return MendParams(**QUICK | changes).for_model(model.shape)


def trained(model: LoadedModel, environment: Environment, **changes: Any) -> Mend:
    """Return an editor whose hyper-network was trained on ``CASES`` and loaded."""
    made = Mend(quick(model, **changes))
    made.train(model, environment, iter(CASES))
    made.prepare(model, environment)
    return made


def descending(model: LoadedModel, **changes: Any) -> Mend:
    """Return an editor whose network is as before training, but for its statistics and the sign of the rates."""
    made = Mend(quick(model, edit_rate=-3e-4, **changes))
    network = HyperNetwork(model, edited_modules(model, made.layers), made.params, generator_for(0))
    rows = [training_pair(model, case.request) for case in CASES]
    network.changes(gradients(model, network.names, rows, begin=False), observe=True)
    made.network = network.requires_grad_(False)
    return made


def dense(patch: object) -> torch.Tensor:
    """Return all changes of a patch, one after another."""
    assert isinstance(patch, WeightPatch)
    return torch.cat([patch.changes[name].dense().flatten() for name in sorted(patch.changes)])


def notes(environment: Environment) -> list[str]:
    assert isinstance(environment.progress, SilentProgress)
    return environment.progress.notes


@torch.inference_mode()
def loss(model: LoadedModel, request: EditRequest) -> float:
    joined = tokenise_pair(model.tokenizer, Prompt(text=request.prompt), request.target)
    logits = model.network(input_ids=torch.tensor([joined.token_ids])).logits[0].float().log_softmax(-1)
    start = joined.prompt_length - 1
    return -sum(float(logits[start + i, token]) for i, token in enumerate(joined.target_ids)) / len(joined.target_ids)


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_conformance(family: str, tmp_path: Path) -> None:
    model, environment = tiny_model(family), quiet_environment(tmp_path)
    params = trained(model, environment).params
    check_editor(lambda: Mend(params), model, REQUESTS, environment)


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_on_every_family_a_step_down_the_normalised_gradient_makes_the_target_likelier(family: str) -> None:
    model = tiny_model(family)
    made = descending(model)
    for request, patch in zip(REQUESTS, made.edit_each(model, REQUESTS), strict=True):
        assert isinstance(patch, WeightPatch)
        before = loss(model, request)
        with patch.applied(model):
            assert loss(model, request) < before - 0.1


def test_a_network_may_change_an_output_in_place() -> None:
    found = []
    for halve in (lambda _module, _inputs, output: output.mul_(0.5), lambda _module, _inputs, output: output * 0.5):
        model = tiny_model("llama")
        model.layers[1].mlp.register_forward_hook(halve)
        row = training_pair(model, REQUESTS[0])
        (factors,) = gradients(model, edited_modules(model, (1,)), [row], begin=False)
        found.append([factor for name in factors for factor in (factors[name].inputs, factors[name].deltas)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma2", "gpt2", "gptj", "gpt_neox"])
def test_the_factors_are_those_of_the_gradient(family: str) -> None:
    model = tiny_model(family)
    row = training_pair(model, REQUESTS[1])
    names = edited_modules(model, (1, 2))
    (found,) = gradients(model, names, [row], begin=False)
    weights = {name: model.projection(name).module.weight.requires_grad_(True) for name in names}
    logits = model.network(input_ids=torch.tensor([row.token_ids])).logits[0, row.prompt_length - 1 : -1]
    torch.nn.functional.cross_entropy(logits, torch.tensor(row.target_ids)).backward()
    for name, weight in weights.items():
        expected = weight.grad.T if model.projection(name).transposed else weight.grad
        assert relative_error(found[name].deltas.T @ found[name].inputs, expected) < 1e-4


def test_a_trace_has_each_request_s_loss_and_the_factors_of_its_gradient() -> None:
    model = tiny_model("llama")
    made, without = descending(model), descending(model)
    made.trace = Trace()
    patches = made.edit_each(model, REQUESTS)
    for request, patch, plain in zip(REQUESTS, patches, without.edit_each(model, REQUESTS), strict=True):
        assert torch.equal(dense(patch), dense(plain)), "a trace changes nothing"
        found = made.trace.take(request)
        assert found["losses"].tolist() == pytest.approx([loss(model, request)], rel=1e-4)
        assert found["passes"].tolist() == [1]
        row = training_pair(model, request)
        (factors,) = gradients(model, made.network.names, [row], begin=False)
        for name, of_module in factors.items():
            assert relative_error(found[f"keys.{name}"], of_module.inputs) < 1e-4
            assert relative_error(found[f"gradients.{name}"], of_module.deltas) < 1e-3


def test_the_change_has_the_rank_of_the_tokens_that_have_a_gradient() -> None:
    model = tiny_model("llama")
    row = training_pair(model, REQUESTS[1])
    changes = descending(model).edit(model, REQUESTS[1:2]).changes
    assert len(changes) == 9, "gate, up and down in three layers"
    for name, change in changes.items():
        assert isinstance(change, LowRank)
        expected = len(row.target_ids) if ".2." in name else len(row.token_ids) - 1
        assert change.left.shape[1] == change.right.shape[1] == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_reverted_edit_leaves_every_bit_and_an_applied_one_changes_the_modules_named(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    patch = descending(model, layers=(0, 2)).edit(model, REQUESTS)
    assert patch.describe()["finite"]
    with patch.applied(model):
        changed = [n for n, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[n])]
    paths = ("gate_proj", "up_proj", "down_proj")
    assert changed == [f"model.layers.{layer}.mlp.{path}.weight" for layer in (0, 2) for path in paths]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_together_is_the_sum_of_each_alone_in_how_many_passes_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt2")
    made = descending(model)
    together, each = made.edit(model, REQUESTS), made.edit_each(model, REQUESTS)
    assert relative_error(dense(together), sum(map(dense, each))) < 1e-5
    monkeypatch.setattr(module, "REQUESTS_TOGETHER", 2)
    assert relative_error(dense(made.edit(model, REQUESTS)), dense(together)) < 1e-5
    assert all(
        relative_error(dense(a), dense(b)) < 1e-5 for a, b in zip(made.edit_each(model, REQUESTS), each, strict=True)
    )


def test_a_refused_request_stands_in_its_place_and_the_others_are_made() -> None:
    model = tiny_model("llama")
    made = descending(model)
    bad = REQUESTS[0].model_copy(update={"target": " "})
    first, second, third = made.edit_each(model, [REQUESTS[0], bad, REQUESTS[1]])
    assert str(second) == "the target is empty"
    assert relative_error(dense(first), dense(made.edit(model, [REQUESTS[0]]))) < 1e-5
    assert relative_error(dense(third), dense(made.edit(model, [REQUESTS[1]]))) < 1e-5
    assert [type(patch) for patch in made.edit_each(model, [bad])] == [Refused]
    with pytest.raises(Refused, match="the target is empty"):
        made.edit(model, [REQUESTS[0], bad])


@pytest.mark.parametrize("close", ["end-of-sequence", "stop"])
def test_closing_the_target_makes_another_edit(close: str) -> None:
    model = tiny_model("llama")
    plain, closed = (dense(descending(model, close_target=way).edit(model, REQUESTS[:1])) for way in ("none", close))
    assert relative_error(closed, plain) > 1e-3


def test_without_a_network_the_command_that_trains_one_is_named(tmp_path: Path) -> None:
    model = tiny_model("llama")
    with pytest.raises(UserError) as caught:
        Mend(MendParams(steps=500, layers=(1, 2)).for_model(model.shape)).prepare(model, quiet_environment(tmp_path))
    command = (
        "wildcore prepare mend --model tiny-llama --dataset DATASET --set 'editor.layers=[1,2]' --set editor.steps=500"
    )
    assert str(caught.value).endswith(command)
    with pytest.raises(RuntimeError, match="comes before edit"):
        Mend(quick(model)).edit(model, REQUESTS)


def test_a_network_of_other_parameters_or_another_model_is_not_taken(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    trained(model, environment)
    with pytest.raises(UserError, match=r"to use it, give editor.steps=10$"):
        Mend(quick(model, steps=20)).prepare(model, environment)
    with pytest.raises(UserError, match=r"there is none(?!.*to use it)"):
        Mend(quick(model)).prepare(tiny_model("llama", seed=1), environment)


def test_parameters_that_have_no_part_in_training_do_not_matter(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    trained(model, environment)
    Mend(quick(model, batch_loss="mean", layer=2)).prepare(model, Environment(tmp_path, 7, SilentProgress()))


def test_the_newest_network_is_taken_unless_another_is_named_and_it_is_said_which(tmp_path: Path) -> None:
    model = tiny_model("llama")
    patches, hashes = {}, [hash_of(cases) for cases in (CASES, CASES[:8])]
    for cases in (CASES, CASES[:8]):
        made = Mend(quick(model))
        made.train(model, quiet_environment(tmp_path), iter(cases))
        made.prepare(model, quiet_environment(tmp_path))
        patches[hash_of(cases)] = dense(made.edit(model, REQUESTS[:1]))
    for named, expected in ((None, hashes[1]), (hashes[0][:6], hashes[0]), (hashes[1], hashes[1])):
        environment = quiet_environment(tmp_path)
        made = Mend(quick(model, trained_on=named))
        made.prepare(model, environment)
        assert torch.equal(dense(made.edit(model, REQUESTS[:1])), patches[expected])
        (note,) = notes(environment)
        assert f"trained on {9 if expected == hashes[0] else 7} cases ({expected})" in note
        assert "held-out loss" in note
    with pytest.raises(UserError, match=f"known: {', '.join(sorted(hashes))}"):
        Mend(quick(model, trained_on="0000")).prepare(model, quiet_environment(tmp_path))


def test_training_again_trains_nothing_and_takes_that_network(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    first = trained(model, environment)
    Mend(quick(model)).train(model, environment, iter(CASES[:8]))
    again = trained(model, quiet_environment(tmp_path))
    assert again.file is not None
    assert again.file.manifest.facts["cases"] == hash_of(CASES)
    assert torch.equal(dense(again.edit(model, REQUESTS)), dense(first.edit(model, REQUESTS)))


def test_a_network_replaced_after_it_was_taken_is_not_used(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    file = trained(model, environment).file
    assert file is not None
    made = Mend(quick(model))
    made.pin_resources(model, environment)
    saved = file.load()
    file.save(Saved({**saved.tensors, "rates": saved.tensors["rates"] + 1e-4}, saved.facts))
    with pytest.raises(UserError, match="another hyper-network is in its place"):
        made.prepare(model, environment)


def test_a_damaged_network_is_passed_over_and_that_is_noted(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    first = trained(model, environment).file
    second = Mend(quick(model))
    second.train(model, environment, iter(CASES[:8]))
    assert first is not None
    assert second.file is not None
    second.file.path.write_bytes(b"damaged")
    again = quiet_environment(tmp_path)
    made = Mend(quick(model))
    made.prepare(model, again)
    assert made.file is not None
    assert made.file.path == first.path
    assert f"passed over: {second.file.path}: damaged" in notes(again)[0]


def test_an_edit_that_was_trained_on_is_noted_once(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    made = trained(model, environment)
    count = len(notes(environment))
    made.edit_each(model, REQUESTS)
    assert len(notes(environment)) == count
    for _ in range(2):
        made.edit_each(model, [REQUESTS[0], CASES[3].request])
    assert [CASES[3].request.prompt in note for note in notes(environment)[count:]] == [True]


def test_layers_come_from_the_end() -> None:
    assert MendParams().for_model(ModelShape("llama", 32, 4096, 32000)).layers == (29, 30, 31)
    assert MendParams().for_model(ModelShape("gpt2", 48, 1600, 50257)).layers == (45, 46, 47)
    assert MendParams().for_model(ModelShape("gpt2", 2, 1600, 50257)).layers == (0, 1)
    assert MendParams(layer=4).for_model(LLAMA).layers == (2, 3, 4)
    assert MendParams(layers=(2, 4)).for_model(LLAMA).layer == 4
    completed = MendParams(steps=5).for_model(LLAMA)
    assert completed.for_model(LLAMA) == completed


@pytest.mark.parametrize(
    ("given_layers", "message"),
    [
        ({"layers": (4, 6)}, r"editor.layers=\[4, 6\]: the model has layers 0 to 5"),
        ({"layer": 6}, "layers 0 to 5"),
        ({"layer": -1}, "layers 0 to 5"),
        ({"layers": ()}, "at least one layer"),
        ({"layers": (2, 1)}, "ascending order"),
        ({"layers": (1, 2), "layer": 3}, "leave one of them out"),
        ({"preset": "llama-2-7b"}, "no such preset"),
    ],
)
def test_layers_that_cannot_be_edited_are_refused(given_layers: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MendParams(**given_layers).for_model(LLAMA)


def test_defaults_are_the_published_ones() -> None:
    params = MendParams()
    assert (params.rank, params.residual_layers, params.steps, params.accumulate) == (1920, 2, 100_000, 10)
    assert (params.learning_rate, params.edit_rate, params.edit_rate_learning_rate) == (1e-6, 1e-4, 1e-4)
    assert (params.edit_weight, params.locality_weight, params.gradient_bound) == (0.1, 1.0, 100.0)
    assert (params.validate_every, params.patience) == (1000, 20_000)
