"""Batches and sequences: what is written upon what, what is evaluated under what, and that nothing of it is lost."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wildcore import (
    EditRequest,
    Patch,
    Refused,
    Saved,
    UserError,
)
from wildcore.evaluation.checkpoints import NAME, Checkpoint, SequenceState
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.measuring import has_finite_logits
from wildcore.evaluation.refusals import AllRefused, write_together
from wildcore.evaluation.schedules import FIRST_EDITS, ScheduleName
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.models import LoadedModel
from wildcore.patches import Dense, WeightPatch
from wildcore.patches.accumulated import CombinedPatch
from wildcore.testing.conformance import ModelState
from wildcore.testing.networks import tiny_model
from wildcore.testing.sequence_runs import (
    CASES,
    COUNT,
    TOKENS,
    Act,
    Remembering,
    Run,
    Stop,
    asked_under,
    case,
    differences,
    said,
)
from wildcore.testing.stub_protocol import Greedy, plain_protocol


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture
def examiner(model: LoadedModel, tmp_path: Path) -> Examiner:
    return Examiner(model, [plain_protocol(Greedy(TOKENS))], UneditedAnswers(tmp_path / "cache", model))


def test_a_sequence_of_one_edit_and_batches_of_one_are_single_edits(examiner: Examiner, tmp_path: Path) -> None:
    single = Run(examiner, tmp_path / "single", "single").go_on(Remembering())
    batches = Run(examiner, tmp_path / "batch", "batch", 1).go_on(Remembering())
    assert not differences(batches, single)
    sequence = Run(examiner, tmp_path / "one", "sequential", cases=CASES[:1]).go_on(Remembering())
    assert not differences(sequence, single[:1])
    longer = Run(examiner, tmp_path / "all", "sequential").go_on(Remembering())
    assert said(longer) != said(single)


@pytest.mark.parametrize("size", [1, 3])
def test_all_cases_are_evaluated_under_the_sum_of_all_updates(examiner: Examiner, tmp_path: Path, size: int) -> None:
    editor, total = Remembering(), CombinedPatch()
    for start in range(0, COUNT, size):
        with total.applied(examiner.model):
            patch = editor.edit(examiner.model, [one.request for one in CASES[start : start + size]])
        total.add(patch)
    records = Run(examiner, tmp_path / "run", "sequential", size).go_on(Remembering())
    assert said(records) == [asked_under(examiner.model, total, number) for number in range(COUNT)]
    assert [record.edit.status for record in records] == ["edited"] * COUNT
    unedited = [asked_under(examiner.model, WeightPatch({}), number) for number in range(COUNT)]
    assert [[answer.text for probe in record.probes for answer in probe.before] for record in records] == unedited
    assert said(records) != unedited


def test_each_batch_is_written_by_one_update_onto_the_unedited_model(examiner: Examiner, tmp_path: Path) -> None:
    records = Run(examiner, tmp_path / "run", "batch", 3).go_on(Remembering())
    for start in range(0, COUNT, 3):
        group = range(start, min(start + 3, COUNT))
        patch = Remembering().edit(examiner.model, [CASES[number].request for number in group])
        for number in group:
            assert said(records)[number] == asked_under(examiner.model, patch, number)
            assert records[number].edit.patch == patch.describe()
        assert len({records[number].edit.seconds for number in group}) == 1


@pytest.mark.parametrize(("name", "size"), [("batch", 3), ("sequential", 2)])
def test_the_model_is_put_back_and_the_state_is_clear_at_the_start(
    examiner: Examiner, tmp_path: Path, name: ScheduleName, size: int
) -> None:
    before = ModelState.of(examiner.model)
    used = Remembering()
    used.edit(examiner.model, [CASES[3].request])
    records = Run(examiner, tmp_path / "used", name, size).go_on(used)
    before.require(examiner.model, f"a run of the schedule {name}")
    assert not differences(records, Run(examiner, tmp_path / "new", name, size).go_on(Remembering()))
    assert used.prepared == 1


def stop_at(number: int) -> Act:
    def act(edits: int) -> None:
        if edits == number:
            raise Stop

    return act


class AtTheSecond:
    """Stops at the second call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, what: object) -> None:
        self.calls += 1
        if self.calls == 2:
            raise Stop


@pytest.mark.parametrize(("name", "size"), [("sequential", 1), ("sequential", 3), ("batch", 2)])
def test_stopped_after_every_update_and_every_record_it_ends_with_the_same_digits(
    examiner: Examiner, tmp_path: Path, name: ScheduleName, size: int
) -> None:
    expected = Run(examiner, tmp_path / "whole", name, size).go_on(Remembering())
    stopped = Run(examiner, tmp_path / "stopped", name, size)
    made: list[int] = []
    stops = 0
    while True:
        stop = AtTheSecond()

        def act(edits: int, stop: AtTheSecond = stop) -> None:
            stop(edits)
            made.append(edits)

        try:
            records = stopped.go_on(Remembering(act), AtTheSecond())
            break
        except Stop:
            stops += 1
            assert stops <= 2 * COUNT, "a run taken up again makes no progress"
    assert stops >= 3
    assert not differences(records, expected)
    assert len(made) == -(-COUNT // size), "an update was made again, or never"


def test_a_run_taken_up_again_says_so_and_makes_only_what_is_left(examiner: Examiner, tmp_path: Path) -> None:
    stopped = Run(examiner, tmp_path / "run", "sequential")
    with pytest.raises(Stop):
        stopped.go_on(Remembering(stop_at(4)))
    made: list[int] = []
    stopped.go_on(Remembering(made.append))
    assert made == [4, 5, 6, 7]
    assert f"3 of {COUNT} edits were written before" in stopped.lines
    resumed = Remembering()
    (stopped.folder.path / "journal.jsonl").unlink()
    stopped.go_on(resumed)
    assert resumed.prepared == 0, "nothing was left to be written"


def test_what_was_kept_before_holds_if_an_interruption_leaves_an_update_half_taken_in(
    examiner: Examiner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Run(examiner, tmp_path / "whole", "sequential").go_on(Remembering())
    stopped = Run(examiner, tmp_path / "stopped", "sequential")
    with pytest.raises(Stop):
        stopped.go_on(Remembering(stop_at(3)))
    add, stop = CombinedPatch.add, AtTheSecond()

    def interrupted(self: CombinedPatch, patch: Patch) -> None:
        add(self, patch)
        stop(patch)

    monkeypatch.setattr(CombinedPatch, "add", interrupted)
    with pytest.raises(Stop):
        stopped.go_on(Remembering())
    monkeypatch.setattr(CombinedPatch, "add", add)
    assert stopped.kept_updates() == 2
    assert not differences(stopped.go_on(Remembering()), expected)


def test_a_refused_edit_is_left_out_with_what_it_did_to_the_state(examiner: Examiner, tmp_path: Path) -> None:
    cases = [*CASES[:2], case(50, subject=None), *CASES[2:]]
    refusing = Run(examiner, tmp_path / "refusing", "sequential", cases=cases)
    records = refusing.go_on(Remembering())
    (refused,) = (record for record in records if record.edit.status == "refused")
    assert (refused.case, refused.edit.reason, refused.edit.patch) == ("50", "no subject", None)
    assert [len(probe.before) for probe in refused.probes] == [1, 1]
    assert [probe.after for probe in refused.probes] == [(), ()]
    assert "  case 50 (The place 50 is in -> Peru): refused: no subject" in refusing.lines
    others = [record for record in records if record is not refused]
    without = Run(examiner, tmp_path / "without", "sequential").go_on(Remembering())
    assert not differences(others, without, (".edit.seconds", ".after_edits"))
    assert {record.after_edits for record in records} == {COUNT + 1}


def test_an_editor_that_refuses_the_first_edit_goes_on_without_state(examiner: Examiner, tmp_path: Path) -> None:
    cases = [case(50, subject=None), *CASES]
    first, *others = Run(examiner, tmp_path / "refusing", "sequential", cases=cases).go_on(Remembering())
    assert first.edit.status == "refused"
    without = Run(examiner, tmp_path / "without", "sequential").go_on(Remembering())
    assert not differences(others, without, (".edit.seconds", ".after_edits"))
    stopped = Run(examiner, tmp_path / "stopped", "sequential", cases=cases)
    with pytest.raises(Stop):
        stopped.go_on(Remembering(stop_at(1)))
    assert not differences(stopped.go_on(Remembering())[1:], others)


class Checking(Remembering):
    """Says beforehand what it refuses."""

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        if request.subject is None:
            raise Refused("no subject")


@pytest.mark.parametrize("editor", [Checking, Remembering])
def test_a_refused_edit_keeps_no_other_of_its_update_from_being_written(
    examiner: Examiner, tmp_path: Path, editor: type[Remembering]
) -> None:
    cases = [*CASES[:3], case(50, subject=None), *CASES[3:], case(51, subject=None)]
    refusing = Run(examiner, tmp_path / "run", "batch", cases=cases)
    records = refusing.go_on(editor())
    refused = {record.case: record.edit.reason for record in records if record.edit.status == "refused"}
    assert refused == {"50": "no subject", "51": "no subject"}
    assert "  case 50 (The place 50 is in -> Peru): refused: no subject" in refusing.lines
    others = [record for record in records if record.case not in refused]
    without = Run(examiner, tmp_path / "without", "batch").go_on(Remembering())
    assert not differences(others, without, (".edit.seconds", ".after_edits"))
    (refusing.folder.path / "journal.jsonl").unlink()
    assert not differences(refusing.go_on(editor()), records), "what was kept says which edits were refused"


@given(bad=st.sets(st.integers(0, 11)), size=st.integers(1, 12))
def test_whoever_is_refused_the_patch_is_that_of_the_others(model: LoadedModel, bad: set[int], size: int) -> None:
    requests = [case(number, None if number in bad else "the place").request for number in range(size)]
    state = Saved({"edits": torch.full((1,), 3.0)}, {})
    editor = Remembering()
    editor.restore(state)
    update = write_together(editor, model, requests, state)
    assert [refusal is not None for refusal in update.refusals] == [number in bad for number in range(size)]
    other = Remembering()
    other.restore(state)
    left = [request for number, request in enumerate(requests) if number not in bad]
    assert update.written == len(left)
    if not left:
        assert (update.patch, int(editor.edits)) == (None, 3)
    else:
        expected = other.edit(model, left)
        assert isinstance(update.patch, WeightPatch)
        for name, change in expected.changes.items():
            assert torch.equal(change.dense(), update.patch.changes[name].dense())
        assert int(editor.edits) == int(other.edits)


class TogetherOnly(Remembering):
    """Refuses two requests together, and none alone."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        if len(requests) > 1:
            raise Refused("one at a time")
        return super().edit(model, requests)


def test_what_is_refused_only_together_is_refused_together(examiner: Examiner, tmp_path: Path) -> None:
    records = Run(examiner, tmp_path / "run", "batch").go_on(TogetherOnly())
    assert {record.edit.status for record in records} == {"refused"}
    assert {record.edit.reason for record in records} == {f"its update of {COUNT} edits was refused: one at a time"}


@pytest.mark.parametrize(("name", "size"), [("batch", None), ("batch", 40), ("sequential", 1)])
def test_a_sequence_whose_first_edits_are_all_refused_stops_once(
    examiner: Examiner, tmp_path: Path, name: ScheduleName, size: int | None
) -> None:
    cases = [case(number, subject=None) for number in range(FIRST_EDITS + 1)]
    stopped = Run(examiner, tmp_path / "run", name, size, cases=cases)
    with pytest.raises(AllRefused, match="no subject"):
        stopped.go_on(Checking())
    records = stopped.go_on(Checking())
    assert [record.edit.status for record in records] == ["refused"] * len(cases)


class Diverging(Remembering):
    """From the fourth edit on its numbers are no numbers."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        patch = super().edit(model, requests)
        if self.edits == 4:
            return WeightPatch({name: Dense(one.dense() * float("nan")) for name, one in patch.changes.items()})
        return patch


def test_numbers_that_are_not_finite_are_written_recorded_and_evaluated(examiner: Examiner, tmp_path: Path) -> None:
    diverging = Run(examiner, tmp_path / "run", "sequential")
    records = diverging.go_on(Diverging())
    assert [(record.edit.patch or {})["finite"] for record in records] == [True] * 3 + [False] * 4
    assert all(len(probe.after) == 1 for record in records for probe in record.probes)
    (line,) = (line for line in diverging.lines if "not finite" in line)
    assert line.startswith("  case 3 (The place 3 is in -> Peru): diverged")


class Solving(Diverging):
    """Cannot solve on a model that gives no numbers."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        if not has_finite_logits(model, requests[0].prompt):
            self.edits = self.edits + 1
            raise torch.linalg.LinAlgError("the input is not positive-definite")
        return super().edit(model, requests)


def test_an_editor_that_fails_on_a_broken_model_is_a_finding(examiner: Examiner, tmp_path: Path) -> None:
    records = Run(examiner, tmp_path / "run", "sequential").go_on(Solving())
    assert [record.edit.status for record in records] == ["edited"] * COUNT
    reasons = [record.edit.reason for record in records]
    assert reasons[:4] == [None] * 4
    assert all(reason and "nothing was written" in reason and "positive-definite" in reason for reason in reasons[4:])
    assert all(len(probe.after) == 1 for record in records for probe in record.probes)


def test_an_editor_that_fails_on_a_sound_model_is_an_error_and_nothing_is_lost(
    examiner: Examiner, tmp_path: Path
) -> None:
    def fail(edits: int) -> None:
        if edits == 5:
            raise ZeroDivisionError

    failing = Run(examiner, tmp_path / "run", "sequential")
    with pytest.raises(ZeroDivisionError):
        failing.go_on(Remembering(fail))
    assert failing.kept_updates() == 4


def test_too_large_an_update_is_told_with_the_way_out(examiner: Examiner, tmp_path: Path) -> None:
    def exhaust(edits: int) -> None:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(UserError, match=r"3 edits were written in one update.*fewer `edits_per_update`"):
        Run(examiner, tmp_path / "batch", "batch", 3).go_on(Remembering(exhaust))
    with pytest.raises(torch.OutOfMemoryError):
        Run(examiner, tmp_path / "one", "sequential").go_on(Remembering(exhaust))


def begun(examiner: Examiner, path: Path, size: int = 1) -> Run:
    stopped = Run(examiner, path, "sequential", size)
    with pytest.raises(Stop):
        stopped.go_on(Remembering(stop_at(6)))
    assert stopped.file.exists()
    return stopped


@pytest.mark.parametrize("place", [0, 8, 200, -1])
def test_a_damaged_file_is_refused_with_the_way_out(examiner: Examiner, tmp_path: Path, place: int) -> None:
    stopped = begun(examiner, tmp_path / "run")
    content = bytearray(stopped.file.read_bytes())
    content[place] ^= 255
    stopped.file.write_bytes(content)
    with pytest.raises(UserError, match=r"sequence\.safetensors: damaged.*delete the file"):
        stopped.go_on(Remembering())
    stopped.file.write_bytes(content[:40])
    with pytest.raises(UserError, match="delete the file"):
        stopped.go_on(Remembering())
    stopped.file.unlink()
    expected = Run(examiner, tmp_path / "whole", "sequential").go_on(Remembering())
    assert not differences(stopped.go_on(Remembering()), expected)


def test_a_file_of_another_run_is_refused(examiner: Examiner, tmp_path: Path) -> None:
    stopped, other = begun(examiner, tmp_path / "run"), begun(examiner, tmp_path / "other", size=2)
    stopped.file.write_bytes(other.file.read_bytes())
    with pytest.raises(UserError, match="belongs to another run; delete the file"):
        stopped.go_on(Remembering())


def test_what_a_killed_process_left_half_written_is_removed(examiner: Examiner, tmp_path: Path) -> None:
    stopped = begun(examiner, tmp_path / "run")
    left = stopped.file.with_name("sequence.0123abcd.writing")
    left.write_bytes(b"half")
    assert list(stopped.folder.mend()) == []
    stopped.go_on(Remembering())
    assert not left.exists()
    assert {path.name for path in stopped.folder.path.iterdir()} == {"journal.jsonl", "manifest.json", NAME}


def test_the_file_stays_with_everything_that_was_written(examiner: Examiner, tmp_path: Path) -> None:
    finished = Run(examiner, tmp_path / "run", "sequential")
    records = finished.go_on(Remembering())
    kept: SequenceState = Checkpoint(finished.folder).load(0, examiner.model, Remembering())
    assert [outcome.patch for outcome in kept.outcomes] == [record.edit.patch for record in records]
    assert kept.state is not None
    edits: Tensor = kept.state.tensors["edits"]
    assert edits.tolist() == [COUNT]
    assert said(records) == [asked_under(examiner.model, kept.patch, number) for number in range(COUNT)]
