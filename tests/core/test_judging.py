"""Judging points: which cases are evaluated when, under what, and that a killed run ends as one that was not."""

import random
from collections.abc import Sequence
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import Measured, Measurement, UserError
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.judging import JudgeAt
from wildcore.evaluation.measuring import ModelMeasurer
from wildcore.evaluation.schedules import Schedule
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.models import LoadedModel
from wildcore.patches.accumulated import CombinedPatch
from wildcore.records.schema import CaseRecord
from wildcore.testing.conformance import ModelState
from wildcore.testing.networks import tiny_model
from wildcore.testing.sequence_runs import CASES, COUNT, TOKENS, Remembering, Run, Stop, asked_under, differences, said
from wildcore.testing.stub_protocol import Greedy, plain_protocol

FORMS = ("end", "each", "matrix", "every:2", "every:3", "1,4,6")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture
def examiner(model: LoadedModel, tmp_path: Path) -> Examiner:
    return Examiner(model, [plain_protocol(Greedy(TOKENS))], UneditedAnswers(tmp_path / "cache", model))


def points(text: str, updates: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
    choice = JudgeAt.parse(text).fitted(len(updates[0]), sum(map(len, updates)))
    return [(point.after_edits, list(point.cases)) for point in choice.points(updates)]


def test_which_cases_are_evaluated_when() -> None:
    alone = [[0], [1], [2], [3]]
    assert points("end", alone) == [(4, [0, 1, 2, 3])]
    assert points("each", alone) == [(1, [0]), (2, [1]), (3, [2]), (4, [3])]
    assert points("matrix", alone) == [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3])]
    assert points("every:3", alone) == [(3, [0, 1, 2]), (4, [0, 1, 2, 3])]
    assert points(" 3, 1,3", alone) == [(1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3])]
    assert points("2,4,9", alone) == points("2", alone)
    assert points("9", alone) == points("end", alone)
    pairs = [[0, 1], [2, 3], [4]]
    assert points("each", pairs) == [(2, [0, 1]), (4, [2, 3]), (5, [4])]
    assert points("matrix", pairs) == [(2, [0, 1]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 3, 4])]


@given(st.sampled_from(FORMS), st.integers(1, 4), st.integers(1, 20))
def test_the_end_is_always_evaluated_and_no_case_before_it_is_written(text: str, size: int, edits: int) -> None:
    updates = [list(range(start, min(start + size, edits))) for start in range(0, edits, size)]
    found = points(text, updates)
    assert [after for after, _ in found] == sorted({after for after, _ in found})
    assert all(set(cases) <= set(range(after)) for after, cases in found)
    last = updates[-1] if text == "each" else list(range(edits))
    assert found[-1] == (edits, last)
    assert {case for _, cases in found for case in cases} == set(range(edits))


@pytest.mark.parametrize(
    "text", ["", "never", "0", "1,,2", "every", "every:0", "every:x", "1.5", "-1", "1 2", "9" * 30]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="not a choice of judging points"):
        JudgeAt.parse(text)


def test_an_order_is_a_permutation_that_its_seed_decides() -> None:
    def ordered(seed: int | None, cases: Sequence[Any] = CASES) -> list[str]:
        return [case.id for case in Schedule.chosen("sequential", 1, len(cases), order=seed).ordered(cases)]

    assert ordered(None) == [case.id for case in CASES]
    assert ordered(1) == ordered(1, CASES[::-1]) != ordered(None)
    assert sorted(ordered(1)) == sorted(ordered(2)) == sorted(ordered(None))
    assert ordered(1) != ordered(2)


@pytest.mark.parametrize(("size", "text"), [(1, "1,4"), (2, "matrix"), (3, "each"), (1, "every:3")])
def test_each_answer_is_given_under_the_edits_that_its_record_names(
    examiner: Examiner, tmp_path: Path, size: int, text: str
) -> None:
    before = ModelState.of(examiner.model)
    run = Run(examiner, tmp_path / "run", "sequential", size, judge_at=text)
    last = run.go_on(Remembering())
    before.require(examiner.model, "a run with judging points")
    records = list(run.folder.records())
    updates = run.schedule.sequences(CASES)[0]
    expected = [(case.id, point.after_edits) for point in run.schedule.judging_points(updates) for case in point.cases]
    assert [(record.case, record.after_edits) for record in records] == expected
    editor, total = Remembering(), CombinedPatch()
    for update in updates:
        with total.applied(examiner.model):
            total.add(editor.edit(examiner.model, [one.request for one in update]))
        made = int(editor.edits)
        for record in records:
            if record.after_edits == made:
                assert said([record])[0] == asked_under(examiner.model, total, int(record.case))
    final = {record.case: record for record in records}
    assert last == [record for record in records if final[record.case] is record]
    assert run.folder.manifest.case_count == len(last)


class Sum(Measurement):
    """Measures the sum of a weight; collapsed from a threshold on."""

    def __init__(self, threshold: float = float("inf")) -> None:
        self.threshold, self.calls = threshold, 0

    def measure(self, model: LoadedModel) -> list[Measured]:
        self.calls += 1
        return [Measured(name="sum", value=float(model.mlp_output(1).weight.double().pow(2).sum()))]

    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> list[str]:
        first, now = unedited[0].value, edited[0].value
        return ["the sum has grown"] if first is not None and now is not None and now / first > self.threshold else []


def measured(run: Run, measurement: Measurement, editor: Remembering, **chosen: Any) -> list[CaseRecord]:
    measurer = ModelMeasurer(run.examiner.model, {"sum": measurement}, run.environment.progress)
    return run.go_on(editor, measurer=measurer, **chosen)


@pytest.mark.parametrize(("size", "text"), [*product((1,), FORMS), (2, "matrix"), (3, "each"), (3, "end"), (2, "4")])
def test_killed_at_random_moments_it_ends_as_one_that_was_not(
    examiner: Examiner, tmp_path: Path, size: int, text: str
) -> None:
    whole = Run(examiner, tmp_path / "whole", "sequential", size, judge_at=text)
    measured(whole, Sum(), Remembering())
    stopped = Run(examiner, tmp_path / "stopped", "sequential", size, judge_at=text)
    moments = random.Random(f"{size}{text}")
    for kills in count():
        left = moments.randint(1, 6)

        def act(what: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Stop

        try:
            measured(stopped, Sum(), Remembering(act), on_case=act, save_every=moments.choice([0.0, 1e9, None]))
            break
        except Stop:
            assert kills < 100, "a resumed run makes no progress"
    assert not differences(list(stopped.folder.records()), list(whole.folder.records()))
    assert list(stopped.folder.points()) == list(whole.folder.points())


class Pinned(Sum):
    """Depends on the content of a file."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.content = content

    def pin_resources(self) -> dict[str, str]:
        return {"content": self.content}


def test_a_run_is_not_resumed_with_another_resource_of_a_measurement(examiner: Examiner, tmp_path: Path) -> None:
    run = Run(examiner, tmp_path / "run", "sequential", judge_at="2")

    def stop(what: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        measured(run, Pinned("first"), Remembering(stop))
    with pytest.raises(UserError, match="what is measured was 'first' and is now 'second'") as raised:
        measured(run, Pinned("second"), Remembering())
    assert "measurement sum.content" in str(raised.value)
    measured(run, Pinned("first"), Remembering())
    assert [point.after_edits for point in run.folder.points()][:2] == [0, 2]


def test_an_evaluation_lost_from_an_earlier_point_is_made_again(examiner: Examiner, tmp_path: Path) -> None:
    run = Run(examiner, tmp_path / "run", "sequential", judge_at="2")
    run.go_on(Remembering())
    whole = list(run.folder.records())
    lines = run.folder.journal_path.read_text().splitlines(keepends=True)
    run.folder.journal_path.write_text("".join(lines[1:]))
    assert any("missing at judging points: 1 of 9" in said for said in run.folder.missing_cases())
    run.go_on(Remembering())
    assert (
        "Answers after 2 edits are missing, and the checkpoint is of a later moment; the edits are made again"
        in run.lines
    )
    again = sorted(run.folder.records(), key=lambda record: (record.after_edits or 0, int(record.case)))
    assert not differences(again, whole)
    assert not list(run.folder.missing_cases())


def test_what_is_measured_is_of_the_model_at_its_point(examiner: Examiner, tmp_path: Path) -> None:
    run = Run(examiner, tmp_path / "run", "sequential", judge_at="2")
    measured(run, Sum(), Remembering())
    unedited, second, last = run.folder.points()
    editor, total, weight = Remembering(), CombinedPatch(), examiner.model.mlp_output(1).weight.double()
    sums = {0: float(weight.pow(2).sum())}
    for number, case in enumerate(CASES, start=1):
        with total.applied(examiner.model):
            total.add(newest := editor.edit(examiner.model, [case.request]))
        name, change = next(iter(total.sums.items()))
        with total.applied(examiner.model):
            sums[number] = float(examiner.model.mlp_output(1).weight.double().pow(2).sum())
    assert [point.measured["sum"][0].value for point in (unedited, second, last)] == [sums[0], sums[2], sums[COUNT]]
    assert (unedited.after_edits, second.after_edits, last.after_edits) == (0, 2, COUNT)
    (moved,) = last.weights
    assert moved.module == name
    assert moved.change == pytest.approx(float(change.double().norm() / weight.norm()))
    assert moved.norm == pytest.approx(float((weight + change).norm() / weight.norm()))
    assert moved.last_update == pytest.approx(newest.norms()[name] / float(weight.norm()))
    assert last.not_finite == 0
    assert not last.collapse
    assert not last.stopped


def test_a_collapsed_model_is_named_and_a_sequence_stops_if_asked_to(examiner: Examiner, tmp_path: Path) -> None:
    goes_on = Run(examiner, tmp_path / "goes-on", "sequential", judge_at="every:2")
    assert len(measured(goes_on, Sum(1.5), Remembering())) == COUNT
    signs = {point.after_edits: bool(point.collapse) for point in goes_on.folder.points()}
    first = min(after for after, collapsed in signs.items() if collapsed)
    assert 2 <= first < COUNT, "the test needs a collapse before the end"
    stops = Run(examiner, tmp_path / "stops", "sequential", judge_at="every:2")
    made: list[int] = []
    records = measured(stops, Sum(1.5), Remembering(made.append), stop_when_collapsed=True)
    assert [record.after_edits for record in records] == [first] * first
    assert made == list(range(1, first + 1))
    *_, last = stops.folder.points()
    assert last.stopped
    assert last.collapse == ("the sum has grown",)
    assert f"Stopped after {first} edits: the model has collapsed" in stops.lines
    assert not list(stops.folder.missing_cases())
    assert measured(stops, Sum(1.5), Remembering(made.append), stop_when_collapsed=True) == records
    assert len(made) == first, "a stopped run was continued"


def test_weights_that_are_not_finite_are_a_sign_of_collapse(examiner: Examiner, tmp_path: Path) -> None:
    run = Run(examiner, tmp_path / "run", "sequential", judge_at="2")
    measured(run, Sum(), Remembering(size=float("nan")))
    *_, last = run.folder.points()
    assert last.not_finite == 1
    assert "the logits are not finite after 100% of the edit prompts" in last.collapse
    assert last.weights[0].norm is None
    assert last.measured["sum"][0].value is None
    assert "nan" in (last.measured["sum"][0].reason or "")


def test_what_was_written_is_kept_when_an_evaluation_is_interrupted(examiner: Examiner, tmp_path: Path) -> None:
    run = Run(examiner, tmp_path / "run", "sequential", judge_at="4")

    def interrupt(record: CaseRecord) -> None:
        raise Stop

    with pytest.raises(Stop):
        run.go_on(Remembering(), on_case=interrupt, save_every=1e9)
    assert run.kept_updates() == 4
    made: list[int] = []
    run.go_on(Remembering(made.append))
    assert made == list(range(5, COUNT + 1))
    assert run.lines.count(f"4 of {COUNT} edits were written before") == 1


def test_without_checkpoints_a_resumed_run_makes_its_edits_again(examiner: Examiner, tmp_path: Path) -> None:
    run = Run(examiner, tmp_path / "run", "sequential", judge_at="4")

    def interrupt(record: CaseRecord) -> None:
        raise Stop

    with pytest.raises(Stop):
        run.go_on(Remembering(), on_case=interrupt, save_every=None)
    assert not run.file.exists()
    made: list[int] = []
    run.go_on(Remembering(made.append), save_every=None)
    assert made == list(range(1, COUNT + 1))
    assert not run.file.exists()
