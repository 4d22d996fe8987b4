"""Norm-anchor scaling brings what the MLP is to give to the reference norm and keeps its direction."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cosine_similarity
from wildcore_keyvalue.values import required
from wildcore_memit.editor import Memit
from wildcore_memit.parameters import MemitParams
from wildcore_norm_anchor import wildcore_transforms
from wildcore_norm_anchor.facts import read_facts
from wildcore_norm_anchor.reference import trimmed_mean
from wildcore_norm_anchor.transform import NormAnchor
from wildcore_rome.editor import Rome
from wildcore_rome.parameters import RomeParams

from wildcore import EditRequest, Refused, UserError
from wildcore.params import build
from wildcore.patches import Dense
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import tiny_model

(OFFER,) = wildcore_transforms()
REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
)
QUICK = {"steps": 3, "second_moments": "identity", "prefix_lengths": ((3, 1),)}


def make(**parameters: object) -> NormAnchor:
    transform: NormAnchor = OFFER.make(OFFER.params(**parameters))
    return transform


def values(seed: int, requests: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    solved, original = torch.randn(2, requests, width, generator=generator)
    return solved * 3, original


class Solver:
    """Stands for an editor: the value of a fact is as long as its target says; refuses facts without a subject."""

    settings: Mapping[str, Any] = {"steps": 3}

    def __init__(self) -> None:
        self.asked = 0

    def solve(self, requests: Sequence[EditRequest]) -> list[Tensor | Refused]:
        self.asked += len(requests)
        return [torch.tensor([float(r.target), 0.0]) if r.subject in r.prompt else Refused("no") for r in requests]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of facts whose values have the norms 1 to 40, and one that cannot be solved."""
    facts = [{"prompt": f"The number {n} is", "subject": str(n), "target": str(n)} for n in range(1, 41)]
    facts.insert(3, {"prompt": "The number is", "subject": "one", "target": "7"})
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(f"{json.dumps(fact)}\n" for fact in facts))
    return path


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_an_editor_with_it_keeps_what_every_editor_must_keep(family: str, tmp_path: Path) -> None:
    params = MemitParams(layers=(0, 1), moment_weight=0.01, **QUICK)

    def editor() -> Memit:
        made = Memit(params)
        made.transforms = [make(facts_measured=2)]
        return made

    check_editor(editor, tiny_model(family), REQUESTS, quiet_environment(tmp_path))


@given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 16), st.floats(0.1, 100))
def test_the_norm_is_the_reference_and_the_direction_stays(seed: int, requests: int, width: int, norm: float) -> None:
    solved, original = values(seed, requests, width)
    written = make(norm=norm).value(solved, original)
    torch.testing.assert_close(written.norm(dim=1), torch.full((requests,), norm))
    torch.testing.assert_close(cosine_similarity(written, solved), torch.ones(requests))


@given(st.integers(0, 999), st.floats(0.1, 10))
def test_the_length_found_does_not_matter(seed: int, factor: float) -> None:
    solved, original = values(seed, 3, 8)
    torch.testing.assert_close(make(norm=2.0).value(solved * factor, original), make(norm=2.0).value(solved, original))


def test_requests_do_not_touch_each_other() -> None:
    solved, original = values(0, 4, 8)
    transform = make(norm=2.0, longest=3.0)
    alone = [transform.value(solved[[i]], original[[i]]) for i in range(4)]
    torch.testing.assert_close(transform.value(solved, original), torch.cat(alone))


def test_a_value_that_is_too_long_is_not_written() -> None:
    original = torch.eye(2)
    solved = torch.tensor([[0.0, 2.0], [2.1, 0.0]])
    assert make(norm=1.0, longest=2.0).value(solved, original).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert make(norm=3.0, longest=2.0).value(solved, original).tolist() == [[0.0, 3.0], [3.0, 0.0]]


def test_a_value_of_zero_stays_one() -> None:
    assert make(norm=1.0).value(torch.zeros(1, 4), torch.ones(1, 4)).tolist() == [[0.0] * 4]


def test_updates_are_left_alone() -> None:
    change = Dense(torch.ones(2, 2))
    assert make().update(change, torch.ones(2, 2)) is change


@pytest.mark.parametrize("family", ["llama", "phi3", "gpt2", "gptj", "gpt_neox"])
def test_the_mlp_alone_is_brought_to_the_norm_and_the_rest_of_the_stream_stays(family: str) -> None:
    model, made = tiny_model(family), Memit(MemitParams(layers=(1,), moment_weight=1e-6, **QUICK))
    problems = required(made.posed(model, REQUESTS))
    found = made.finder(model).find(problems)
    made.transforms = [make(norm=2.5)]
    mlp = made.goals(model, problems) - torch.stack([value.initial - value.mlp for value in found])
    torch.testing.assert_close(mlp.norm(dim=1), torch.tensor([2.5, 2.5]), rtol=1e-4, atol=0)
    with made.edit(model, REQUESTS).applied(model):
        given_now = torch.stack([value.mlp for value in made.finder(model).find(problems)])
    torch.testing.assert_close(given_now.norm(dim=1), torch.tensor([2.5, 2.5]), rtol=1e-2, atol=0)


@pytest.mark.parametrize("family", ["gemma2", "gemma3_text", "olmo2"])
def test_where_a_norm_follows_the_mlp_its_part_is_what_the_norm_gives(family: str) -> None:
    model, made = tiny_model(family), Memit(MemitParams(layers=(1,), moment_weight=1.0, **QUICK))
    (problem,) = required(made.posed(model, REQUESTS[:1]))
    given_by_norm: list[Tensor] = []
    handle = model.layers[1].post_feedforward_layernorm.register_forward_hook(
        lambda module, inputs, output: given_by_norm.append(output)
    )
    text = problem.texts[0]
    with torch.inference_mode():
        model.network(input_ids=torch.tensor([text.joined.token_ids]))
    handle.remove()
    (value,) = made.finder(model).find([problem])
    torch.testing.assert_close(value.mlp, given_by_norm[0][0, text.subject_index], rtol=1e-4, atol=1e-5)


def test_the_reference_norm_is_the_mean_of_all_but_the_longest_and_kept(table: Path, tmp_path: Path) -> None:
    model, environment, solver = tiny_model("llama"), quiet_environment(tmp_path), Solver()
    transform = make(facts=str(table))
    transform.prepare(model, environment, solver)
    assert transform.norm == pytest.approx(sum(range(1, 39)) / 38)
    assert solver.asked == 41
    (note,) = environment.progress.notes
    assert "the mean of 38 of 41 facts' values; 2 left out as the longest, 1 without their subject" in note
    again = make(facts=str(table), left_out=0)
    again.prepare(model, environment, solver)
    assert (again.norm, solver.asked) == (pytest.approx(20.5), 41)
    fewer = make(facts=str(table), facts_measured=3, left_out=0)
    fewer.prepare(model, environment, solver)
    assert (fewer.norm, solver.asked) == (2.0, 44)


def test_the_record_says_what_the_facts_hold(table: Path) -> None:
    first, again = make(facts=str(table)).pinned_resources(), make(facts=str(table)).pinned_resources()
    table.write_text(table.read_text().replace("number 7", "digit 7"))
    assert first == again != make(facts=str(table)).pinned_resources()
    assert make(facts=str(table), norm=1.0).pinned_resources() == {}


def test_a_norm_that_is_given_needs_no_measuring(tmp_path: Path) -> None:
    solver, transform = Solver(), make(norm=2.0)
    transform.prepare(tiny_model("llama"), quiet_environment(tmp_path), solver)
    assert (transform.norm, solver.asked) == (2.0, 0)


def test_the_norm_is_that_of_the_unedited_model_also_after_edits(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    made = Rome(RomeParams(layer=1, **QUICK))
    made.transforms = [transform] = [make(facts_measured=2)]
    made.prepare(model, environment)
    before = transform.norm
    with made.edit(model, REQUESTS[:1]).applied(model):
        problems = required(made._posed(model, REQUESTS[1:]))
        (value,) = made._finder(model).find(problems)
        written = transform.value((value.mlp + value.delta)[None], value.mlp[None])
    assert before is not None
    assert float(written.norm()) == pytest.approx(before, rel=1e-4)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=50), st.floats(0, 0.99))
def test_the_trimmed_mean_leaves_out_the_largest(norms: list[float], left_out: float) -> None:
    mean, used = trimmed_mean(torch.tensor(norms), left_out)
    assert 1 <= used <= len(norms)
    assert used >= (1 - left_out) * len(norms) - 1e-6
    assert mean == pytest.approx(sum(sorted(norms)[:used]) / used, rel=1e-4)


def test_the_sample_names_subjects_that_stand_in_their_prompts_once() -> None:
    facts = read_facts("sample", 1000)
    assert len(facts) == len({fact.prompt for fact in facts}) == 40
    assert all(fact.prompt.count(str(fact.subject)) == 1 for fact in facts)
    assert read_facts("sample", 3) == facts[:3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it holds no fact"),
        ('{"prompt": "a", "target": "b"}\n', r"transform.norm-anchor.facts: .*subject"),
        ("no json\n", r"transform.norm-anchor.facts: .*facts.jsonl"),
        ('{"prompt": "a", "subject": "c", "target": "1"}\n', "no subject stands in its prompt"),
        ('{"prompt": "a", "subject": "a", "target": "0"}\n', "the mean norm of the values found is 0.0"),
    ],
)
def test_facts_that_nothing_can_be_measured_on_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        make(facts=str(path)).prepare(tiny_model("llama"), quiet_environment(tmp_path), Solver())


@pytest.mark.parametrize(
    "settings", [{"norm": 0}, {"norm": -1.0}, {"longest": 0}, {"norms": 1}, {"facts_measured": 0}, {"left_out": 1}]
)
def test_parameters_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="transform norm-anchor: "):
        build(OFFER.params, settings, "transform norm-anchor")
