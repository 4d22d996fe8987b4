"""Training the hyper-network: that it learns, that it can be interrupted, and what it takes and leaves out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import wildcore_mend.training as module
from hypothesis import given, settings
from hypothesis import strategies as st
from wildcore_mend.editor import Mend
from wildcore_mend.examples import Examples, examples, generator_for, trial_at
from wildcore_mend.losses import losses_after
from wildcore_mend.network import HyperNetwork, ResidualLayer, Statistics
from wildcore_mend.parameters import MendParams
from wildcore_mend.store import find, place_for

from wildcore import EditCase, EditRequest, Environment, Probe, UserError
from wildcore.architectures import built_in_families
from wildcore.models import LoadedModel, ModelRequest, load_model
from wildcore.testing.conformance import SilentProgress, quiet_environment
from wildcore.testing.networks import tiny_model

WORDS = ("red", "Rome", "north", "1984", "Anna", "the sea", "Osten", "iron", "glass", "a river", "May", "seven")
QUICK = {"rank": 6, "steps": 30, "accumulate": 5, "validate_every": 10, "learning_rate": 1e-3, "edit_rate": -1e-3}


def case(number: int, **changes: Any) -> EditCase:
    prompt, word = f"The mark of place {number} is", WORDS[number % len(WORDS)]
    probes = (
        Probe(kind="generalization", prompt=f"Place {number} has the mark", answers=(word,)),
        Probe(kind="generalization", prompt=f"What marks place {number}?", answers=(word,)),
        Probe(kind="locality", prompt=f"The capital of land {number} is", answers=("Warsaw",)),
        Probe(kind="locality", prompt="Mount Everest is in", answers=("Nepal", "China")),
    )
    made = EditCase(id=str(number), request=EditRequest(prompt=prompt, target=word), probes=probes)
    return made.model_copy(update=changes)


CASES = tuple(case(number) for number in range(22))


def quick(model: LoadedModel, **changes: Any) -> MendParams:
    return MendParams(**QUICK | changes).for_model(model.shape)


def train(model: LoadedModel, environment: Environment, cases=CASES, **changes: Any) -> MendParams:
    params = quick(model, **changes)
    Mend(params).train(model, environment, iter(cases))
    return params


def notes(environment: Environment) -> list[str]:
    progress = environment.progress
    assert isinstance(progress, SilentProgress)
    return progress.notes


class Interrupted(Exception):
    """As if the process had died."""


class DyingProgress(SilentProgress):
    """Progress that raises once so many steps were made."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.left = last

    @contextmanager
    def track(self, label: str, total: int, done: int = 0) -> Iterator[Any]:
        def advance(steps: int) -> None:
            self.left -= steps
            if self.left < 0:
                raise Interrupted

        yield advance


@pytest.fixture(scope="module")
def pocket() -> LoadedModel:
    brought = pytest.importorskip("wildcore_pocket.plugin", reason="wildcore-pocket is not installed")
    families = {family.model_type: family for family in built_in_families()}
    request = ModelRequest("pocket", folder=brought.PocketModel().folder(), dtype="float32", device="cpu")
    return load_model(request, families)


def test_after_a_short_training_edits_of_new_facts_take(pocket: LoadedModel, tmp_path: Path) -> None:
    """On cases held out, against no edit, and against the network before training but for its statistics."""
    from wildcore_pocket.dataset import PocketQA  # there, as the model is

    cases = list(PocketQA().cases())[:120]
    environment = quiet_environment(tmp_path)
    rates = {"edit_rate": -5e-5, "edit_rate_learning_rate": 1e-5, "learning_rate": 1e-4}
    params = MendParams(rank=64, steps=60, validate_every=20, **rates).for_model(pocket.shape)
    Mend(params).train(pocket, environment, iter(cases))
    facts = find(environment, pocket, params).load().facts
    unedited, best = facts["curve"][0], facts["best"]
    known = examples(pocket, cases, params, environment.seed)
    assert len(known.held_out) == facts["held_out"] == 12
    assert best["edit"] < 0.7 * untrained_loss(pocket, known, params)
    assert best["edit"] < 0.5 * unedited["edit"]
    assert best["accuracy"] > unedited["accuracy"] + 0.2
    assert best["locality"] < 0.01


def untrained_loss(model: LoadedModel, known: Examples, params: MendParams) -> float:
    assert params.layers is not None
    names = module.edited_modules(model, params.layers)
    network = HyperNetwork(model, names, params, generator_for(0, "network"))
    with torch.no_grad():
        losses_after(model, network, [example.trial() for example in known.learned[:40]], params, observe=True)
        losses = losses_after(model, network, [example.trial() for example in known.held_out], params)
    return float(losses.edit.mean())


@pytest.mark.parametrize("died_after", [4, 12, 24])
def test_training_taken_up_again_ends_with_the_same_bits(died_after: int, tmp_path: Path) -> None:
    model = tiny_model("llama")
    whole = quiet_environment(tmp_path / "whole")
    expected = find(whole, model, train(model, whole)).load()
    with pytest.raises(Interrupted):
        train(model, Environment(tmp_path / "parts", 0, DyingProgress(died_after)), checkpoint_seconds=0)
    parts = quiet_environment(tmp_path / "parts")
    params = train(model, parts)
    assert any("going on with the training from step" in note for note in notes(parts))
    found = find(parts, model, params).load()
    assert found.facts == expected.facts
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(tensor, expected.tensors[name]) for name, tensor in found.tensors.items())
    assert not place_for(parts, model, params, CASES).partial.exists()


def test_several_threads_add_up_gradients_in_one_order() -> None:
    generator, before = generator_for(0), torch.get_num_threads()
    layer = ResidualLayer(width=96, rank=6, projections=3, generator=generator)
    vectors, places = torch.randn(4000, 96, generator=generator), torch.randint(3, (4000,), generator=generator)
    torch.set_num_threads(2)
    try:
        found = [torch.autograd.grad(layer(vectors, places).sin().sum(), list(layer.parameters())) for _ in range(10)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for again in found[1:] for one, other in zip(found[0], again, strict=True))


def test_the_best_network_is_kept_and_training_ends_when_it_gets_no_better(tmp_path: Path) -> None:
    model, environment = tiny_model("gpt2"), quiet_environment(tmp_path)
    params = train(model, environment, steps=400, patience=20, learning_rate=3e-2)
    facts = find(environment, model, params).load().facts
    losses = [validation["weighted"] for validation in facts["curve"][1:]]
    assert len(losses) < 40
    assert facts["best"]["weighted"] == min(losses) == losses[-3]
    known = examples(model, CASES, params, 0)
    editor = Mend(params)
    editor.prepare(model, environment)
    assert editor.network is not None
    again = losses_after(model, editor.network, [example.trial() for example in known.held_out], params)
    assert float(again.weighted(params).mean()) == pytest.approx(facts["best"]["weighted"], rel=1e-4)


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = tiny_model("llama")
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    train(model, quiet_environment(tmp_path))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.network.parameters())
    assert not any(m._forward_hooks for m in model.network.modules())


def test_the_rates_have_a_learning_rate_of_their_own(tmp_path: Path) -> None:
    """Published code has one too, but no effect of it: see test_golden."""
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    params = train(model, environment, steps=5, edit_rate_learning_rate=3e-3)
    saved = find(environment, model, params).load().tensors
    moved = (saved["rates"] - params.edit_rate).abs()
    assert torch.allclose(moved, torch.full_like(moved, 3e-3), rtol=1e-3)


def test_another_seed_trains_another_network_and_torchs_own_random_state_has_no_part(tmp_path: Path) -> None:
    model, tensors = tiny_model("llama"), []
    for folder, seed, of_torch in (("a", 0, 1), ("b", 0, 2), ("c", 1, 1)):
        environment = quiet_environment(tmp_path / folder, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(of_torch)
            params = train(model, environment)
            state = torch.random.get_rng_state()
            torch.manual_seed(of_torch)
            assert torch.equal(state, torch.random.get_rng_state())
        tensors.append(find(environment, model, params).load().tensors["rates"])
    assert torch.equal(tensors[0], tensors[1])
    assert not torch.equal(tensors[0], tensors[2])


def test_cases_held_out_are_not_learned_and_every_epoch_takes_the_others_once() -> None:
    model = tiny_model("llama")
    known = examples(model, CASES, quick(model), seed=3)
    assert (len(known.learned), len(known.held_out)) == (20, 2)
    assert not {one.edit for one in known.learned} & {one.edit for one in known.held_out}
    for epoch in range(2):
        taken = [trial_at(known.learned, step, seed=3).edit for step in range(epoch * 20, epoch * 20 + 20)]
        assert set(taken) == {one.edit for one in known.learned}
    drawn = {trial_at(known.learned, step, seed=3) for step in range(400)}
    assert {trial.target for trial in drawn} == {row for one in known.learned for row in one.targets}
    assert {trial.locality for trial in drawn} == {row for one in known.learned for row in one.localities}


def test_which_prompt_is_asked_after_the_edit() -> None:
    model = tiny_model("llama")
    bare = case(1, probes=tuple(probe for probe in CASES[1].probes if probe.kind == "locality"))
    by_rephrasing, by_prompt = (
        examples(model, [*CASES[:2], bare], quick(model, edit_loss=way), 0) for way in ("rephrasing", "prompt")
    )
    every = [*by_rephrasing.learned, *by_rephrasing.held_out]
    assert sorted(len(one.targets) for one in every) == [1, 2, 2]
    assert all((one.edit in one.targets) == (len(one.targets) == 1) for one in every)
    assert all(one.targets == (one.edit,) for one in [*by_prompt.learned, *by_prompt.held_out])


def test_cases_that_cannot_be_trained_on_are_left_out_and_counted(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    empty = case(30, request=EditRequest(prompt="The mark is", target=" "))
    without = case(31, probes=CASES[0].probes[:2])
    long = case(32, request=EditRequest(prompt="word " * 200, target="red"))
    params = train(model, environment, cases=(*CASES, empty, without, long))
    facts = find(environment, model, params).load().facts
    reasons = {"the target is empty": 1, "it has no locality probe": 1, "it is longer than the model's context": 1}
    assert facts["left_out"] == reasons
    assert facts["learned"] + facts["held_out"] == len(CASES)
    for reason in reasons:
        assert f"mend: 1 of 25 cases cannot be trained on: {reason}" in notes(environment)
    with pytest.raises(UserError, match=r"can train on 1 of the 2 cases .* \(1 left out: it has no locality probe\)"):
        train(model, environment, cases=(CASES[0], without))


def test_a_training_that_diverges_is_no_network(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    with pytest.raises(UserError, match=r"diverged by step 10; lower editor\.learning_rate"):
        train(model, environment, learning_rate=1e30)
    with pytest.raises(UserError, match="there is none"):
        find(environment, model, quick(model, learning_rate=1e30))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 2**31), st.floats(-50, 50))
def test_statistics_do_not_depend_on_how_vectors_come(sizes: list[int], seed: int, mean: float) -> None:
    parts = [
        torch.randn(size, 3, generator=torch.Generator().manual_seed(seed + i)) + mean for i, size in enumerate(sizes)
    ]
    vectors, observed = torch.cat(parts), Statistics(3)
    for part in parts:
        observed.observe(part)
    assert int(observed.count) == len(vectors)
    if len(vectors) > 1:
        assert torch.allclose(observed.mean, vectors.mean(0), rtol=1e-4, atol=1e-4)
        assert torch.allclose(observed.squares, vectors.var(0) * (len(vectors) - 1), rtol=1e-3, atol=1e-3)
        expected = (vectors - vectors.mean(0)) / vectors.std(0)
        assert torch.allclose(observed.normalised(vectors), expected, rtol=1e-2, atol=1e-2)
