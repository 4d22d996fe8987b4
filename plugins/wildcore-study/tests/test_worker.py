"""Workers: runs are shared between studies, resumed where a process was killed, and set aside if they cannot be made."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wildcore_study.attempts import Maker
from wildcore_study.cost import measured_paces
from wildcore_study.devices import kind_of_device
from wildcore_study.execution import work_through
from wildcore_study.folder import StudyFolder, cells_of, is_summed_up
from wildcore_study.queue import StudyQueue
from wildcore_study.worker import StudyWorker

from wildcore.records.run_folder import RunFolder
from wildcore.storage import unsealed
from wildcore.storage.checksums import sealed
from wildcore.testing.processes import run_python

Queued = Callable[..., StudyQueue]
Journals = dict[str, list[dict[str, Any]]]
Answers = Callable[[StudyFolder], Journals]


def work(queue: StudyQueue) -> bool:
    """Work in this process until no run is left, and return whether one is set aside."""
    return work_through(queue.folder, queue.plan_name, "cpu")


def endings(queue: StudyQueue, run: str) -> list[str]:
    """Return how the attempts at a run ended, "died" without an outcome."""
    found = queue.study.attempts(queue.plan.run(run)).all()
    return [one.outcome.ending if one.outcome else "alive" if one.is_alive else "died" for one in found]


def test_studies_in_one_folder_share_what_is_finished(queued: Queued) -> None:
    first = queued(seeds="[0, 1]")
    assert not work(first)
    assert {run.id: endings(first, run.id) for run in first.plan.runs} == {
        run.id: ["finished"] for run in first.plan.runs
    }
    made = sorted(first.study.runs.iterdir())
    before = {path: path.stat().st_mtime_ns for run in made for path in run.iterdir()}
    second = queued(seeds="[1, 2]", title='"Another"')
    assert [cell.id for cell in second.waiting()] == [second.plan.runs[1].id]
    assert not work(second)
    assert len(list(second.study.runs.iterdir())) == 3
    wider = queued(seeds="[0]", protocols='["synthetic", "bare-free-gold"]')
    (run,) = wider.plan.runs
    assert run.id == first.plan.runs[0].id
    assert wider.study.missing(run) == ["bare-free-gold"]
    assert not work(wider)
    assert endings(wider, run.id) == ["finished", "finished"]
    assert {protocols for *_, protocols in measured_paces(wider.study)} == {1}, "each attempt asked under one protocol"
    own = [folder for folder in wider.study.runs.iterdir() if cells_of(folder) == (run.cells["bare-free-gold"],)]
    assert [[one.name for one in RunFolder.open(folder).manifest.protocols] for folder in own] == [["bare-free-gold"]]
    assert before == {path: path.stat().st_mtime_ns for run in made for path in run.iterdir()}
    assert list(wider.study.working.iterdir()) == []


KEYS = {"limit": 3, "protocols": '["synthetic", "bare-free-gold"]'}


def killed_at(queue: StudyQueue, operation: int) -> int:
    """Run a worker in a process that is killed at an operation on the files of its run; return its exit code."""
    environment = os.environ | {"KILLED_WITHIN": str(queue.study.working), "KILLED_AT": str(operation)}
    command = [*queue.worker_command("cpu")][3:]
    return run_python(["-m", "wildcore.testing.killed", *command], environment).returncode


@pytest.fixture
def uninterrupted(queued: Queued, answers: Answers) -> Journals:
    queue = queued("uninterrupted", **KEYS)
    assert not work(queue)
    return answers(queue.study)


def test_a_run_killed_in_its_middle_is_resumed_and_nothing_is_doubled(
    queued: Queued, answers: Answers, uninterrupted: Journals
) -> None:
    begun = []
    for operation in (4, 12, 25):
        queue = queued(f"killed-{operation}", **KEYS)
        (run,) = queue.plan.runs
        assert killed_at(queue, operation) == -signal.SIGKILL
        assert endings(queue, run.id) == ["died"]
        assert queue.study.finished_cells() == {}
        begun += [len(list(RunFolder.open(folder).cases())) for folder in queue.study.unfinished(run)]
        assert [cell.id for cell in queue.waiting()] == [run.id]
        assert not work(queue)
        assert endings(queue, run.id) == ["died", "finished"]
        assert answers(queue.study) == uninterrupted
        (folder,) = queue.study.runs.iterdir()
        assert is_summed_up(folder)
        assert list(queue.study.working.iterdir()) == []
        assert not (queue.folder / "discarded").exists()
    assert max(begun) > 0, "no kill fell into the middle of a run"


def test_a_half_written_run_is_resumed_by_a_study_with_another_choice_of_protocols(
    queued: Queued, answers: Answers, uninterrupted: Journals
) -> None:
    queue = queued(**KEYS)
    assert killed_at(queue, 25) == -signal.SIGKILL
    narrower = queued(limit=3)
    assert not work(narrower)
    assert answers(narrower.study) == uninterrupted
    assert list(queue.waiting()) == []


def half_written(queue: StudyQueue, accelerator: str) -> Path:
    """Leave a half-written run that was begun on another kind of device, and return its folder."""
    assert killed_at(queue, 25) == -signal.SIGKILL
    (folder,) = queue.study.unfinished(queue.plan.runs[0])
    manifest = json.loads(unsealed((folder / "manifest.json").read_bytes()))
    manifest["hardware"]["accelerator"] = accelerator
    (folder / "manifest.json").write_text(sealed(json.dumps(manifest, indent=2)))
    return folder


def test_a_run_is_not_resumed_on_another_kind_of_device(queued: Queued) -> None:
    queue = queued(**KEYS)
    folder = half_written(queue, "NVIDIA H100")
    (run,) = queue.plan.runs
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert work(queue)
    assert endings(queue, run.id) == ["died", "refused"]
    reason = queue.study.attempts(run).set_aside_because()
    assert reason is not None
    assert "NVIDIA H100" in reason
    assert "cpu" in reason
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert list(queue.waiting()) == []


def test_the_kind_of_a_device_leaves_out_its_number() -> None:
    assert kind_of_device({"accelerator": "NVIDIA H100", "device": "cuda:1"}) == "NVIDIA H100"
    assert kind_of_device({"device": "cuda:1"}) == kind_of_device({"device": "cuda:0"}) == "cuda"
    assert kind_of_device({"device": "cpu"}) == "cpu"


def test_a_run_that_cannot_be_made_is_set_aside_at_once_and_the_others_are_made(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queued(seeds="[0, 1, 2]")
    first, second, third = (run.id for run in queue.plan.runs)
    make = StudyWorker._make

    def broken(self: StudyWorker, run: Any, claim: Any) -> int | None:
        if run.id == second:
            raise ValueError("a fault of the code")
        return make(self, run, claim)

    monkeypatch.setattr(StudyWorker, "_make", broken)
    assert work(queue)
    assert [endings(queue, run) for run in (first, second, third)] == [["finished"], ["failed"] * 3, ["finished"]]
    reason = queue.study.attempts(queue.plan.run(second)).set_aside_because()
    assert reason == "3 attempts failed; the last: ValueError: a fault of the code"


def test_a_damaged_summary_is_not_a_finished_run_and_the_run_is_made_again(queued: Queued) -> None:
    queue = queued()
    assert not work(queue)
    (folder,) = queue.study.runs.iterdir()
    summary = folder / "summary.json"
    for damaged in (summary.read_bytes().replace(b"0", b"1", 1), b"", b"[]"):
        summary.write_bytes(damaged)
        assert not is_summed_up(folder)
    assert len(StudyFolder(queue.folder).missing(queue.plan.runs[0])) == 1
    assert not work(queue)
    assert is_summed_up(folder)
    assert [path.name for path in (queue.folder / "discarded").iterdir()] == [f"{folder.name}.1"]
    summary.unlink()
    assert StudyFolder(queue.folder).finished_cells() == {}


def test_a_run_whose_results_are_not_found_is_not_tried_for_ever(
    queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queued()
    monkeypatch.setattr(StudyFolder, "publish", lambda self, folder: self.discard(folder))
    assert work(queue)
    (run,) = queue.plan.runs
    assert endings(queue, run.id) == ["failed"] * 3
    reason = queue.study.attempts(run).set_aside_because()
    assert reason is not None
    assert reason.endswith("the run was made, and its results under synthetic are not found")


def test_a_worker_that_lost_its_run_publishes_nothing(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = queued()
    (run,) = queue.plan.runs
    begin = StudyWorker._begin

    def taken_meanwhile(self: StudyWorker, *arguments: Any) -> int:
        done = begin(self, *arguments)
        other = Maker(machine="elsewhere", process=1, started=1.0)
        (queue.study.attempts(run).folder / "2.json").write_text(other.model_dump_json())
        return done

    monkeypatch.setattr(StudyWorker, "_begin", taken_meanwhile)
    assert not queue.open_worker("cpu").run(run.id)
    assert not queue.study.runs.exists()
    assert endings(queue, run.id) == ["interrupted", "alive"]


def test_a_run_that_another_worker_has_is_left_to_it(queued: Queued) -> None:
    queue = queued()
    (run,) = queue.plan.runs
    worker = queue.open_worker("cpu")
    with queue.study.attempts(run).claim() as claim:
        assert claim is not None
        assert list(queue.waiting()) == []
        assert not worker.run(run.id)
    assert endings(queue, run.id) == ["alive"], "no second attempt was begun"


def test_a_model_stays_loaded_between_runs_and_has_its_own_fingerprint(queued: Queued) -> None:
    queue = queued(seeds="[0, 1]")
    first, second = (run.id for run in queue.plan.runs)
    worker = queue.open_worker("cpu")
    assert isinstance(worker, StudyWorker)
    before = worker.load(first)
    model = worker.model
    assert worker.run(first)
    assert worker.load(second) == before, "a run leaves the weights as they were"
    assert worker.model is model
    worker.close()
    assert worker.model is None


def test_a_run_whose_data_changed_since_it_was_planned_is_set_aside(
    queued: Queued, tmp_path: Path, edits: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_bytes(edits.read_bytes())
    queue = queued(datasets=f'[{{dataset = "counterfact", parameters = {{path = "{own}"}}}}]')
    rows = json.loads(own.read_text())
    rows[0]["target_new"] = "Maria"
    own.write_text(json.dumps(rows))
    assert work(queue)
    reason = queue.study.attempts(queue.plan.runs[0]).set_aside_because()
    assert reason is not None
    assert "changed since the study was planned" in reason
    assert queue.study.missing(queue.plan.runs[0])


def test_relative_places_are_those_of_the_folder_in_which_the_study_was_started(
    queued: Queued, tmp_path: Path, edits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edits.json").write_bytes(edits.read_bytes())
    monkeypatch.chdir(tmp_path)
    queue = queued(datasets='[{dataset = "counterfact", parameters = {path = "edits.json"}}]')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert not work(queue)
    assert not queue.waiting()
    assert Path.cwd() == elsewhere
