"""Single edits: each is evaluated as it is alone, however many are evaluated together; and what is done where memory runs out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from wildcore import EditCase, EditRequest, Patch, Probe, Refused
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.groups import run_in_groups
from wildcore.evaluation.single import NOT_STACKED, make_edits, run_cases
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.interfaces import Editor
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest
from wildcore.testing.conformance import SilentProgress
from wildcore.testing.networks import HIDDEN, INTERMEDIATE, MAX_LENGTH, tiny_model
from wildcore.testing.stub_protocol import Greedy, plain_protocol

LARGE = 1024.0
SMALL = 0.5
"""A change too small for bfloat16 beside ``LARGE``."""


def cancelling_model() -> LoadedModel:
    """Return a model in bfloat16 of which an MLP's output is made of large weights that cancel out: every input comes twice."""
    model = tiny_model("llama", dtype=torch.bfloat16)
    mlp = model.layers[1].mlp
    for projection in (mlp.gate_proj, mlp.up_proj):
        projection.weight.data[1::2] = projection.weight.data[::2]
    mlp.down_proj.weight.data[:, ::2] = LARGE
    mlp.down_proj.weight.data[:, 1::2] = -LARGE
    return model


class Elsewhere:
    """A patch that is neither a change of weights nor of prompts, and changes nothing."""

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        yield

    def describe(self) -> dict[str, Any]:
        return {}


class SmallChanges(Editor):
    """Writes a change that adding it into the weights would round away. The target says of which kind, or that there is none."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        (request,) = requests
        if request.target == "refused":
            raise Refused("not today")
        if request.target == "elsewhere":
            return Elsewhere()
        generator = torch.Generator().manual_seed(len(request.prompt))
        if request.target == "dense":
            change = Dense(SMALL * (2 * torch.rand(HIDDEN, INTERMEDIATE, generator=generator) - 1))
            return WeightPatch({model.mlp_output(1).name: change})
        left = SMALL * (2 * torch.rand(HIDDEN, 1, generator=generator) - 1)
        return WeightPatch({model.mlp_output(1).name: LowRank(left, torch.ones(INTERMEDIATE, 1))})


def case(number: int, target: str) -> EditCase:
    request = EditRequest(prompt="The place is in" + " it" * number, target=target)
    probes = tuple(Probe(kind="reliability", prompt=f"Place {number}, {i}:", answers=("Peru",)) for i in range(2))
    return EditCase(id=str(number), request=request, probes=probes)


def said(records: Sequence[CaseRecord]) -> list[list[str]]:
    return [[answer.text for probe in record.probes for answer in probe.after] for record in records]


def said_before(records: Sequence[CaseRecord]) -> list[list[str]]:
    return [[answer.text for probe in record.probes for answer in probe.before] for record in records]


@pytest.mark.parametrize("kind", ["dense", "thin"])
def test_a_change_that_rounding_would_lose_counts_alone_as_it_does_in_a_group(kind: str, tmp_path: Path) -> None:
    model = cancelling_model()
    examiner = Examiner(model, [plain_protocol(Greedy(4))], UneditedAnswers(tmp_path, model))
    cases = [case(number, kind) for number in range(4)]
    before = {name: weight.clone() for name, weight in model.network.named_parameters()}
    for one in cases:
        with SmallChanges().edit(model, [one.request]).applied(model):  # rounding leaves nothing of the change
            assert all(torch.equal(weight, before[name]) for name, weight in model.network.named_parameters())
    together = said(run_cases(SmallChanges(), examiner, cases))
    alone = [said(run_cases(SmallChanges(), examiner, [one]))[0] for one in cases]
    assert alone == together
    assert alone != said_before(run_cases(SmallChanges(), examiner, cases)), "the patches are to make a difference"


@pytest.mark.parametrize("company", ["refused", "elsewhere"])
def test_what_becomes_of_the_others_has_no_say(company: str, tmp_path: Path) -> None:
    model = cancelling_model()
    examiner = Examiner(model, [plain_protocol(Greedy(4))], UneditedAnswers(tmp_path, model))
    cases = [case(number, "dense") for number in range(2)]
    together = said(run_cases(SmallChanges(), examiner, cases))
    for one, wanted in zip(cases, together, strict=True):
        records = run_cases(SmallChanges(), examiner, [one, case(9, company)])
        assert said(records)[0] == wanted
        assert records[0].edit.fallback is None
    assert records[1].edit.fallback == (NOT_STACKED if company == "elsewhere" else None)


def folder(path: Path, count: int) -> RunFolder:
    manifest = Manifest(
        created="2025-01-01T00:00:00+00:00",
        job={},
        identity={},
        protocols=(),
        case_count=count,
        versions={},
        hardware={},
        plugins={},
    )
    return RunFolder.create(path, manifest)


class Room:
    """Carries out at most as many cases at once as there is room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []

    def __call__(self, group: Sequence[EditCase]) -> list[CaseRecord]:
        self.tried.append(len(group))
        if len(group) > self.room:
            raise torch.OutOfMemoryError("no room")
        outcome = EditOutcome(status="edited", seconds=0)
        return [CaseRecord(case=one.id, request=one.request, edit=outcome, probes=()) for one in group]


@pytest.mark.parametrize(
    ("count", "together", "room", "tried", "going_on"),
    [
        (5, 64, 1, [5, 2, 1, 1, 1, 1, 1], [2, 1]),
        (5, 64, 2, [5, 2, 2, 1], [2]),
        (7, 4, 2, [4, 2, 2, 2, 1], [2]),
        (6, 4, 4, [4, 2], []),
    ],
)
def test_half_as_many_as_were_tried_are_tried_next(
    count: int, together: int, room: int, tried: list[int], going_on: list[int], tmp_path: Path
) -> None:
    carry_out, progress, run = Room(room), SilentProgress(), folder(tmp_path / "run", count)
    cases = [case(number, "dense") for number in range(count)]
    run_in_groups(carry_out, cases, run, lambda record: None, progress, together, ())
    assert carry_out.tried == tried
    assert progress.notes == [f"out of memory; going on with {number} edits at once" for number in going_on]
    assert [record.case for record in run.cases()] == [one.id for one in cases]


def test_where_one_case_does_not_fit_the_error_comes_at_once(tmp_path: Path) -> None:
    carry_out, progress = Room(0), SilentProgress()
    with pytest.raises(torch.OutOfMemoryError):
        run_in_groups(carry_out, [case(0, "dense")], folder(tmp_path / "run", 1), lambda record: None, progress, 64, ())
    assert (carry_out.tried, progress.notes) == ([1], [])


def test_a_request_longer_than_the_context_is_refused_and_the_others_are_written() -> None:
    model = tiny_model("llama")
    cases = [case(number, "low-rank") for number in (1, MAX_LENGTH, 2)]
    made, _ = make_edits(SmallChanges(), model, cases)
    assert [isinstance(patch, Refused) for patch in made] == [False, True, False]
    assert f"tokens long, and the model reads {MAX_LENGTH}" in str(made[1])
    only, _ = make_edits(SmallChanges(), model, cases[1:2])
    assert [type(patch) for patch in only] == [Refused]
