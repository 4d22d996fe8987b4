"""AlphaEdit keeps what every editor must keep, and does what its parameters say."""

from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wildcore_alphaedit import null_space
from wildcore_alphaedit.editor import AlphaEdit
from wildcore_alphaedit.null_space import NullSpace, spectrum
from wildcore_alphaedit.parameters import AlphaEditParams
from wildcore_alphaedit.solve import united, written_alone, written_together
from wildcore_keyvalue.values import required

from wildcore import EditRequest, ModelShape, Refused, Saved, UserError
from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore.testing.conformance import SilentProgress, check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
    EditRequest(prompt="Marie Curie began in the year", subject="Marie Curie", target="1984"),
)
QUICK = {
    "layers": (0, 1),
    "steps": 4,
    "moment_tokens": 300,
    "prefix_lengths": ((5, 2),),
    "nullspace_share": 0.3,
    "update_penalty": 0.1,
}
LLAMA = ModelShape("llama", 6, 384, 8192)


def dense(patch: object) -> torch.Tensor:
    """Return all changes of a patch, side by side."""
    assert isinstance(patch, WeightPatch)
    return torch.cat([change.dense() for change in patch.changes.values()])


def prepared(model: LoadedModel, cache: Path, **changes: object) -> AlphaEdit:
    made = AlphaEdit(AlphaEditParams(**QUICK | changes))
    made.prepare(model, quiet_environment(cache))
    return made


def random_null_space(width: int, directions: int, generator: torch.Generator) -> tuple[NullSpace, torch.Tensor]:
    """Return a null space of so many directions, and its projection [width, width]."""
    drawn = torch.randn(width, width, generator=generator, dtype=torch.float64)
    of = spectrum(drawn @ drawn.T)
    basis = of.vectors[:, :directions].double()
    return NullSpace(of, directions), basis @ basis.T


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_conformance(family: str, tmp_path: Path) -> None:
    params = AlphaEditParams(**QUICK)
    check_editor(lambda: AlphaEdit(params), tiny_model(family), REQUESTS[:2], quiet_environment(tmp_path))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(0, 12), st.integers(2, 9), st.floats(0.5, 1e2), st.integers(0, 2**31), st.data())
def test_the_solve_is_the_formula(
    edits: int, before: int, width: int, penalty: float, seed: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    space, projection = random_null_space(width, data.draw(st.integers(1, width - 1)), generator)
    keys, earlier = (torch.randn(width, count, generator=generator) for count in (edits, before))
    wide, past = keys.double(), earlier.double()
    assume(bool(((projection @ wide).norm(dim=0) > 0.05 * wide.norm(dim=0)).all()))  # else little but rounding is left
    inner = projection @ (wide @ wide.T + past @ past.T) + penalty * torch.eye(width, dtype=torch.float64)
    expected = torch.linalg.solve(inner, projection @ wide)
    assert relative_error(written_together(keys, earlier, space, penalty), expected) < 1e-4
    kept = united(earlier[:, : before // 2], earlier[:, before // 2 :])
    assert kept.shape[1] <= max(width, before // 2)
    assert relative_error(written_together(keys, kept, space, penalty), expected) < 1e-3
    nothing = keys[:, :0]
    for column, alone in enumerate(written_alone(keys, space, penalty).T):
        assert relative_error(alone, written_together(keys[:, [column]], nothing, space, penalty)[:, 0]) < 1e-4


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=8), st.floats(1e-3, 0.999))
def test_a_share_takes_as_many_directions_as_fit_in_it(eigenvalues: list[float], share: float) -> None:
    values = torch.tensor(sorted(eigenvalues), dtype=torch.float64) + 1e-3
    of = spectrum(values.diag())
    count = of.within(share)
    assert float(values[:count].sum()) <= share * float(values.sum()) * (1 + 1e-9)
    assert float(values[: count + 1].sum()) > share * float(values.sum()) * (1 - 1e-9)
    if count:
        assert of.share(count) == pytest.approx(float(values[:count].sum() / values.sum()))
    assert of.below(float(values[0])) == 0
    assert of.below(float(values[-1]) * 1.01) == len(values)


def test_what_ordinary_text_uses_is_not_written_to(tmp_path: Path) -> None:
    model = tiny_model("llama")
    made = prepared(model, tmp_path)
    for change, space in zip(made.edit(model, REQUESTS).changes.values(), made.null_spaces.values(), strict=True):
        assert float((change.dense().double() @ space.protected).norm()) < 1e-5 * float(change.dense().norm())


def test_later_edits_spare_the_keys_of_earlier_ones(tmp_path: Path) -> None:
    """With next to no penalty the update is zero on the earlier keys; a new editor's is not."""
    model = tiny_model("llama")
    made = prepared(model, tmp_path, update_penalty=1e-6, nullspace_share=0.9)
    with made.edit(model, REQUESTS[:2]).applied(model):
        keys = dict(made.earlier)
        later = made.edit(model, REQUESTS[2:])
        made.reset()
        forgetful = made.edit(model, REQUESTS[2:])
    for layer in made.layers:
        name = model.mlp_output(layer).name
        spared, not_spared = (float((p.changes[name].dense() @ keys[layer]).norm()) for p in (later, forgetful))
        assert spared < 1e-3 * not_spared


def test_the_keys_kept_are_those_of_the_edited_model(tmp_path: Path) -> None:
    model = tiny_model("llama")
    made = prepared(model, tmp_path)
    patch = made.edit(model, REQUESTS[:1])
    found = {layer: keys[:, 0] for layer, keys in made.earlier.items()}
    problems = required(made.posed(model, REQUESTS[:1]))
    unedited = {layer: made.keys_and_states(model, layer, problems)[0][0] for layer in (0, 1)}
    with patch.applied(model):
        edited = {layer: made.keys_and_states(model, layer, problems)[0][0] for layer in (0, 1)}
    assert relative_error(found[0], unedited[0]) < 1e-6
    assert relative_error(found[1], edited[1]) < 1e-6 < relative_error(found[1], unedited[1])


def test_a_refused_edit_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    model = tiny_model("llama")
    made = prepared(model, tmp_path)
    made.edit(model, REQUESTS[:1])
    before = made.earlier
    with pytest.raises(Refused, match="'Spain' does not occur"):
        made.edit(model, [REQUESTS[1], REQUESTS[0].model_copy(update={"subject": "Spain"})])
    assert made.earlier is before


def test_the_state_is_empty_at_first_grows_and_is_taken_up_only_for_the_same_layers(tmp_path: Path) -> None:
    model = tiny_model("llama")
    made = prepared(model, tmp_path)
    assert made.state.tensors == {}
    made.edit(model, REQUESTS[:2])
    made.edit(model, REQUESTS[2:])
    assert {name: keys.shape[1] for name, keys in made.state.tensors.items()} == {
        "earlier-keys.0": 3,
        "earlier-keys.1": 3,
    }
    with pytest.raises(UserError, match=r"editor.layers=\[0\]: the earlier edits were written to \[0, 1\]"):
        prepared(model, tmp_path, layers=(0,)).restore(made.state)
    made.restore(Saved({}, {}))
    assert made.earlier == {}


def test_the_null_space_is_found_once_for_every_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    first = prepared(model, tmp_path)
    monkeypatch.setattr(null_space.MomentSource, "moments", None)
    again = prepared(model, tmp_path)
    assert torch.equal(again.null_spaces[0].protected, first.null_spaces[0].protected)
    wider = prepared(model, tmp_path, nullspace_share=0.5)
    assert wider.null_spaces[0].directions > first.null_spaces[0].directions


def test_how_many_directions_there_are_is_noted_and_too_few_tokens_are_too(tmp_path: Path) -> None:
    model = tiny_model("llama")
    width = model.mlp_output(0).weight.shape[1]
    for tokens, fewer in ((300, False), (width - 1, True)):
        environment = quiet_environment(tmp_path)
        made = AlphaEdit(AlphaEditParams(**QUICK | {"moment_tokens": tokens}))
        made.prepare(model, environment)
        assert isinstance(environment.progress, SilentProgress)
        notes = environment.progress.notes
        directions = made.null_spaces[1].directions
        assert any(f"null space of layer 1: {directions} of {width} directions" in note for note in notes)
        assert any("fewer than keys are wide" in note for note in notes) is fewer


@pytest.mark.parametrize(
    ("given_params", "message"),
    [
        (
            {"nullspace_threshold": 1e-9},
            "editor.nullspace_threshold=1e-09: in layer 0 .* no direction may be written to",
        ),
        ({"nullspace_threshold": 1e9}, "no direction is protected; lower it"),
        ({"nullspace_share": 1e-9}, "editor.nullspace_share=1e-09: in layer 0 .* no direction may be written to"),
    ],
)
def test_a_null_space_of_nothing_or_everything_is_refused(
    given_params: dict[str, float], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        prepared(tiny_model("llama"), tmp_path, **{"nullspace_share": None} | given_params)


def test_presets_come_by_shape_and_a_share_stands_in_for_a_threshold() -> None:
    llama = AlphaEditParams().for_model(ModelShape("llama", 32, 4096, 128256))
    assert (llama.preset, llama.layers, llama.nullspace_threshold) == ("llama-3-8b", (4, 5, 6, 7, 8), 0.02)
    assert (llama.update_penalty, llama.learning_rate, llama.nullspace_share) == (10, 0.1, None)
    gpt2 = AlphaEditParams().for_model(ModelShape("gpt2", 48, 1600, 50257))
    assert (gpt2.layers, gpt2.steps, gpt2.update_penalty) == ((13, 14, 15, 16, 17), 20, 10)
    assert AlphaEditParams().for_model(ModelShape("qwen2", 28, 3584, 152064)).update_penalty == 1
    other = AlphaEditParams().for_model(LLAMA)
    assert (other.preset, other.layers, other.update_penalty) == ("none", (0, 1), 1)
    assert (other.nullspace_threshold, other.nullspace_share) == (None, 0.05)
    shared = AlphaEditParams(nullspace_share=0.2).for_model(ModelShape("llama", 32, 4096, 128256))
    assert (shared.nullspace_threshold, shared.nullspace_share) == (None, 0.2)
    for completed, shape in ((shared, ModelShape("llama", 32, 4096, 128256)), (other, LLAMA)):
        assert completed.for_model(shape) == completed
    with pytest.raises(UserError, match="leave one of them out"):
        AlphaEditParams(nullspace_threshold=0.1, nullspace_share=0.1).for_model(LLAMA)
