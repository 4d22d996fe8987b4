"""EMMET keeps what every editor must keep, and does what its parameters say."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wildcore_emmet.editor import Emmet
from wildcore_emmet.parameters import EmmetParams
from wildcore_emmet.solve import written_alone, written_together
from wildcore_keyvalue.solver import MomentSolver
from wildcore_keyvalue.values import required

from wildcore import EditRequest, ModelShape, UserError
from wildcore.patches import WeightPatch
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
    EditRequest(prompt="Marie Curie began in the year", subject="Marie Curie", target="1984"),
)
QUICK = {"layers": (1,), "steps": 4, "moment_tokens": 300, "prefix_lengths": ((5, 2),), "damping": 0.1}
EXACT = {"layers": (1,), "steps": 6, "second_moments": "identity", "ridge": 0.0}
LLAMA = ModelShape("llama", 6, 384, 8192)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_conformance(family: str, tmp_path: Path) -> None:
    params = EmmetParams(**QUICK)
    check_editor(lambda: Emmet(params), tiny_model(family), REQUESTS[:2], quiet_environment(tmp_path))


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3", "gpt_neox"])
def test_the_edited_model_has_every_value(family: str) -> None:
    model, made = tiny_model(family), Emmet(EmmetParams(**EXACT))
    problems = required(made.posed(model, REQUESTS))
    goals = made.goals(model, problems)
    with made.edit(model, REQUESTS).applied(model):
        _, states = made.keys_and_states(model, 1, problems)
    _, before = made.keys_and_states(model, 1, problems)
    assert relative_error(states, goals) < 1e-3 < relative_error(before, goals)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 4), st.integers(5, 9), st.floats(1e-2, 1e4), st.floats(0, 1), st.integers(0, 2**31), st.booleans()
)
def test_the_solve_meets_the_constraints_with_the_least_change(
    edits: int, width: int, weight: float, ridge: float, seed: int, identity: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(width, edits, generator=generator)
    drawn = torch.randn(width, width, generator=generator)
    moments = torch.eye(width) if identity else drawn @ drawn.T + torch.eye(width)
    solver = None if identity else MomentSolver(moments, 0.0)
    wide, scaled = keys.double(), weight * moments.double()
    exact = written_together(keys, solver, weight, 0.0).double()
    assert relative_error(exact.T @ wide, torch.eye(edits)) < 1e-3
    stationary = scaled @ exact  # the gradient of the change is a combination of the keys
    assert relative_error(wide @ torch.linalg.lstsq(wide, stationary).solution, stationary) < 1e-3
    small = wide.T @ torch.linalg.solve(scaled, wide) + (ridge if edits > 1 else 0) * torch.eye(edits)
    relaxed = torch.linalg.solve(scaled, wide) @ torch.linalg.inv(small)
    assert relative_error(written_together(keys, solver, weight, ridge), relaxed) < 1e-3
    for column, alone in enumerate(written_alone(keys, solver, weight).T):
        assert relative_error(alone, written_together(keys[:, [column]], solver, weight, ridge)[:, 0]) < 1e-4


def test_of_one_request_neither_the_ridge_nor_the_weight_changes_anything() -> None:
    model = tiny_model("llama")
    plain, other = (
        Emmet(EmmetParams(**EXACT | given_params)).edit(model, REQUESTS[:1])
        for given_params in ({}, {"ridge": 5.0, "moment_weight": 100.0})
    )
    assert isinstance(plain, WeightPatch)
    for name, change in plain.changes.items():
        assert relative_error(other.changes[name].dense(), change.dense()) < 1e-5


def test_two_values_for_one_key_need_a_ridge() -> None:
    model = tiny_model("llama")
    contrary = (REQUESTS[0], REQUESTS[0].model_copy(update={"target": "Peru"}))
    with pytest.raises(UserError, match=r"editor.ridge=0.0: the keys of requests .* depend on each other"):
        Emmet(EmmetParams(**EXACT)).edit(model, contrary)
    patch = Emmet(EmmetParams(**EXACT | {"ridge": 0.1})).edit(model, contrary)
    assert patch.describe()["finite"]


def test_presets_come_by_shape_and_one_layer_by_depth() -> None:
    gpt2 = EmmetParams().for_model(ModelShape("gpt2", 48, 1600, 50257))
    assert (gpt2.preset, gpt2.layers, gpt2.moment_weight, gpt2.clamp_factor) == ("gpt2-xl", (17,), 1000, 0.75)
    llama = EmmetParams().for_model(ModelShape("llama", 32, 4096, 32000))
    assert (llama.layers, llama.moment_weight, llama.ridge, llama.clamp_factor) == ((5,), 1, 0.1, 4)
    other = EmmetParams().for_model(ModelShape("olmo2", 40, 5120, 100352))
    assert (other.preset, other.layers, other.moment_weight) == ("none", (6,), 1)
    assert EmmetParams(layers=(2, 4)).for_model(LLAMA).layer == 4
