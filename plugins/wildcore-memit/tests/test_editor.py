"""MEMIT keeps what every editor must keep, and does what its parameters say."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wildcore_keyvalue import several_layers
from wildcore_keyvalue.least_squares import written_alone, written_together
from wildcore_keyvalue.solver import MomentSolver
from wildcore_keyvalue.values import optimise_values, required
from wildcore_memit.editor import Memit
from wildcore_memit.parameters import MemitParams

from wildcore import EditRequest, ModelShape, Refused, Transform, UserError
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
    EditRequest(prompt="Marie Curie began in the year", subject="Marie Curie", target="1984"),
)
QUICK = {"layers": (0, 1), "steps": 4, "moment_tokens": 300, "prefix_lengths": ((5, 2),), "damping": 0.1}
LIGHT = {"layers": (0, 1), "steps": 6, "second_moments": "identity", "moment_weight": 0.01}
LLAMA = ModelShape("llama", 6, 384, 8192)


def dense(patch: object) -> torch.Tensor:
    """Return all changes of a patch, side by side."""
    assert isinstance(patch, WeightPatch)
    return torch.cat([change.dense() for change in patch.changes.values()])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_conformance(family: str, tmp_path: Path) -> None:
    params = MemitParams(**QUICK, moment_weight=1.0)
    check_editor(lambda: Memit(params), tiny_model(family), REQUESTS[:2], quiet_environment(tmp_path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_reverted_edit_leaves_every_bit_and_an_applied_one_changes_the_layers_named(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    patch = Memit(MemitParams(**LIGHT)).edit(model, REQUESTS)
    with patch.applied(model):
        changed = [n for n, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[n])]
    assert changed == [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


@pytest.mark.parametrize("family", ["llama", "qwen3", "phi3", "gpt2", "gptj", "gpt_neox"])
def test_with_light_moments_the_edited_model_has_the_value_after_the_last_layer(family: str) -> None:
    model, made = tiny_model(family), Memit(MemitParams(**LIGHT | {"moment_weight": 1e-6}))
    problems = required(made.posed(model, REQUESTS))
    goals = made.goals(model, problems)
    with made.edit(model, REQUESTS).applied(model):
        _, states = made.keys_and_states(model, 0, problems)
    _, before = made.keys_and_states(model, 0, problems)
    assert relative_error(states, goals) < 1e-3 < relative_error(before, goals)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3_text", "olmo2", "gpt2"])
def test_the_value_lies_in_the_residual_stream_also_where_a_norm_follows_the_mlp(family: str) -> None:
    """The first loss is the model's own, the last that of the model with z put in place of what the layer gives."""
    model, made = tiny_model(family), Memit(MemitParams(**LIGHT | {"kl_factor": 0.0, "weight_decay": 0.0}))
    (problem,) = required(made.posed(model, REQUESTS[:1]))
    (value,) = optimise_values(model, 1, [problem], made.params, "layer-output")
    text = problem.texts[0]

    def put(layer, inputs, output):
        states = output[0] if isinstance(output, tuple) else output
        states = states.clone()
        states[0, text.subject_index] = value.value
        return (states, *output[1:]) if isinstance(output, tuple) else states

    assert _loss(model, text.joined) == pytest.approx(value.losses[0], rel=1e-4)
    handle = model.layers[1].register_forward_hook(put)
    assert _loss(model, text.joined) == pytest.approx(value.losses[-1], rel=1e-4)
    handle.remove()
    assert value.losses[-1] < value.losses[0]


@torch.inference_mode()
def _loss(model: LoadedModel, joined) -> float:
    logits = model.network(input_ids=torch.tensor([joined.token_ids])).logits[0].float().log_softmax(-1)
    start = joined.prompt_length - 1
    each = [float(-logits[start + place, token]) for place, token in enumerate(joined.target_ids)]
    return sum(each) / len(each)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(2, 9), st.floats(1e-2, 1e5), st.integers(0, 2**31), st.booleans())
def test_the_solve_is_the_formula(edits: int, width: int, weight: float, seed: int, identity: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(width, edits, generator=generator)
    drawn = torch.randn(width, width, generator=generator)
    moments = torch.eye(width) if identity else drawn @ drawn.T + torch.eye(width)
    solver = None if identity else MomentSolver(moments, 0.0)
    wide = keys.double()
    expected = torch.linalg.solve(weight * moments.double() + wide @ wide.T, wide)
    assert relative_error(written_together(keys, solver, weight), expected) < 1e-4
    for column, alone in enumerate(written_alone(keys, solver, weight).T):
        k = wide[:, [column]]
        assert relative_error(alone, torch.linalg.solve(weight * moments.double() + k @ k.T, k)[:, 0]) < 1e-4


def test_in_how_many_batches_the_texts_are_read_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, made = tiny_model("llama"), Memit(MemitParams(**LIGHT))
    together, each = made.edit(model, REQUESTS), made.edit_each(model, REQUESTS)
    monkeypatch.setattr(several_layers, "REQUESTS_TOGETHER", 2)
    assert relative_error(dense(made.edit(model, REQUESTS)), dense(together)) < 1e-4
    for found, expected in zip(made.edit_each(model, REQUESTS), each, strict=True):
        assert relative_error(dense(found), dense(expected)) < 1e-4


def test_together_is_not_the_sum_of_each_alone() -> None:
    model, made = tiny_model("llama"), Memit(MemitParams(**LIGHT))
    each = made.edit_each(model, REQUESTS)
    assert relative_error(dense(made.edit(model, REQUESTS)), sum(map(dense, each))) > 1e-2


def test_a_refused_request_stands_in_its_place_and_the_others_are_made() -> None:
    model, made = tiny_model("llama"), Memit(MemitParams(**LIGHT))
    bad = REQUESTS[0].model_copy(update={"subject": "Spain"})
    first, second, third = made.edit_each(model, [REQUESTS[0], bad, REQUESTS[1]])
    assert isinstance(second, Refused)
    assert "'Spain' does not occur" in str(second)
    assert relative_error(dense(first), dense(made.edit(model, [REQUESTS[0]]))) < 1e-4
    assert relative_error(dense(third), dense(made.edit(model, [REQUESTS[1]]))) < 1e-4
    assert [type(patch) for patch in made.edit_each(model, [bad])] == [Refused]
    with pytest.raises(Refused, match="'Spain' does not occur"):
        made.edit(model, [REQUESTS[0], bad])


@pytest.mark.parametrize("close", ["end-of-sequence", "stop"])
def test_closing_the_target_makes_another_edit(close: str) -> None:
    model = tiny_model("llama")
    plain, closed = (
        dense(Memit(MemitParams(**LIGHT, close_target=way)).edit(model, REQUESTS[:1])) for way in ("none", close)
    )
    assert relative_error(closed, plain) > 1e-3


def test_a_norm_after_the_mlp_is_noted(tmp_path: Path) -> None:
    for family, noted in (("gemma2", True), ("llama", False)):
        environment = quiet_environment(tmp_path)
        Memit(MemitParams(**LIGHT, prefix_lengths=((3, 1),))).prepare(tiny_model(family), environment)
        assert any("does not account for the norm" in note for note in environment.progress.notes) is noted


def test_presets_come_by_shape_and_layers_by_depth() -> None:
    llama = MemitParams().for_model(ModelShape("llama", 32, 4096, 32000))
    assert (llama.preset, llama.layers, llama.layer) == ("llama-2-7b", (4, 5, 6, 7, 8), 8)
    assert (llama.clamp_factor, llama.weight_decay, llama.moment_weight) == (4.0, 1e-3, 15000)
    gpt2 = MemitParams().for_model(ModelShape("gpt2", 48, 1600, 50257))
    assert (gpt2.layers, gpt2.steps, gpt2.clamp_factor) == ((13, 14, 15, 16, 17), 20, 0.75)
    assert (gpt2.moment_weight, gpt2.weight_decay) == (20000, 0.5)
    other = MemitParams().for_model(LLAMA)
    assert (other.preset, other.layers, other.layer) == ("none", (0, 1), 1)
    assert other.moment_weight == pytest.approx(15000 * 384 / 4096)
    assert MemitParams(moment_weight=7).for_model(LLAMA).moment_weight == 7
    assert MemitParams().for_model(ModelShape("olmo2", 40, 5120, 100352)).layers == (6, 7, 8, 9, 10)
    assert MemitParams(layer=5).for_model(LLAMA).layers == (1, 2, 3, 4, 5)
    assert MemitParams(layers=(2, 4)).for_model(LLAMA).layer == 4
    assert MemitParams(layers=(2, 4), layer=4).for_model(LLAMA).layers == (2, 4)
    assert llama.for_model(ModelShape("llama", 32, 4096, 32000)) == llama


@pytest.mark.parametrize(
    ("given_layers", "message"),
    [
        ({"layers": (4, 6)}, r"editor.layers=\[4, 6\]: the model has layers 0 to 5"),
        ({"layers": (-1, 2)}, "layers 0 to 5"),
        ({"layer": 6}, "layers 0 to 5"),
        ({"layer": -1}, "layers 0 to 5"),
        ({"layers": ()}, "at least one layer"),
        ({"layers": (2, 1)}, "ascending order"),
        ({"layers": (1, 1)}, "each once"),
        ({"layers": (1, 2), "layer": 3}, "leave one of them out"),
        ({"preset": "llama-9"}, "no such preset"),
        ({"preset": "llama-2-7b"}, "layers 0 to 5"),
    ],
)
def test_layers_that_cannot_be_edited_are_refused(given_layers: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MemitParams(**given_layers).for_model(LLAMA)


class Halved(Transform):
    """Writes half of what is missing, and half of each update, as a matrix where asked."""

    def __init__(self, as_matrix: bool) -> None:
        self.as_matrix = as_matrix
        self.weights: list[torch.Tensor] = []

    def value(self, solved: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        return (solved + original) / 2

    def update(self, change: LowRank | Dense, weight: torch.Tensor) -> LowRank | Dense:
        self.weights.append(weight)
        half = change.dense() / 2
        return Dense(half) if self.as_matrix else LowRank(half, torch.eye(half.shape[1]))


@pytest.mark.parametrize("as_matrix", [False, True])
@pytest.mark.parametrize("layers", [(1,), (0, 1)])
def test_transforms_change_the_values_and_each_layers_update(as_matrix: bool, layers: tuple[int, ...]) -> None:
    model = tiny_model("llama")
    plain, halving = (Memit(MemitParams(**LIGHT | {"layers": layers})) for _ in range(2))
    halving.transforms = [Halved(as_matrix)]
    first = model.mlp_output(layers[0]).name
    together, halved = plain.edit(model, REQUESTS), halving.edit(model, REQUESTS)
    assert relative_error(halved.changes[first].dense(), together.changes[first].dense() / 4) < 1e-4
    assert all(map(torch.equal, halving.transforms[0].weights, (model.mlp_output(layer).weight for layer in layers)))
    for request, found in zip(REQUESTS, halving.edit_each(model, REQUESTS), strict=True):
        assert relative_error(dense(found), dense(halving.edit(model, [request]))) < 1e-4
