"""``wildcore study`` as a user runs it: plan, run, status, script; exit codes and messages."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from wildcore_study.attempts import Outcome
from wildcore_study.folder import StudyFolder
from wildcore_study.local import LocalExecutor
from wildcore_study.queue import StudyQueue

from wildcore import CellQueue, Progress
from wildcore.cli import main

Queued = Callable[..., StudyQueue]
WriteFile = Callable[..., Path]


def wildcore(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False)


def in_this_process(self: LocalExecutor, queue: CellQueue, devices: Sequence[str], progress: Progress) -> None:
    """Run the cells of a queue one after another, without a process for each device."""
    worker = queue.open_worker(devices[0])
    while waiting := queue.waiting():
        worker.run(waiting[0].id)


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalExecutor, "execute", in_this_process)


def planned_json(*arguments: object) -> dict[str, Any]:
    done = wildcore("study", "plan", *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("without_processes")
def test_plan_run_and_status_agree(study_file: WriteFile, tmp_path: Path) -> None:
    file, out = (
        study_file(protocols='["synthetic", "bare-free-gold"]', seeds="[0, 1]", title='"Two seeds"'),
        tmp_path / "s",
    )
    before = planned_json(file, "--out", out)
    assert not out.exists(), "a plan writes nothing"
    assert before["title"] == "Two seeds"
    assert before["left"] == {"edits": 4, "answers": 24, "seconds": 0.0, "runs_of_unknown_time": 2}
    assert [run["state"] for run in before["runs"]] == ["missing", "missing"]
    assert [run["missing_protocols"] for run in before["runs"]] == [["synthetic", "bare-free-gold"]] * 2
    done = wildcore("study", file, "--out", out, "--devices", "cpu")
    assert done.exit_code == 0, done.output
    assert (
        done.stdout == f"Two seeds: 2 runs (2 finished); 4 of 4 cells (a run under one protocol) finished, in {out}\n"
    )
    assert "2 runs, 4 edits, 24 answers, time unknown until runs were measured; on cpu" in done.stderr
    after = planned_json(file, "--out", out)
    assert [(run["id"], run["cells"]) for run in after["runs"]] == [(run["id"], run["cells"]) for run in before["runs"]]
    assert after["left"] == {"edits": 0, "answers": 0, "seconds": 0.0, "runs_of_unknown_time": 0}
    status = wildcore("study", "status", out, "--json")
    (studied,) = json.loads(status.stdout)["studies"]
    assert {"schema": "wildcore.study-plan/1", **studied} == after
    more = planned_json(
        study_file("more", protocols='["synthetic", "bare-free-gold"]', seeds="[2]", limit=4), "--out", out
    )
    (run,) = more["runs"]
    assert run["seconds"] == pytest.approx(more["left"]["seconds"])
    assert run["seconds"] > 0, "the time is known from the runs of the same kind"
    again = wildcore("study", "run", file, "--out", out, "--devices", "cpu")
    assert again.exit_code == 0
    assert "on cpu" not in again.stderr, "nothing is left to be run"


def test_plan_shows_every_run_with_its_state(queued: Queued, study_file: WriteFile, tmp_path: Path) -> None:
    queue = queued(seeds="[0, 1, 2, 3]")
    first, second, third, _ = queue.plan.runs
    with queue.study.attempts(first).claim() as claim:
        assert claim is not None
        with queue.study.attempts(second).claim() as other:
            assert other is not None
            other.record(Outcome(ending="refused", reason="no such layer"))
        shown = wildcore("study", "plan", study_file(seeds="[0, 1, 2, 3]"), "--out", queue.folder)
        status = wildcore("study", "status", queue.folder)
    assert shown.exit_code == status.exit_code == 0
    for state in ("being made", "set aside", "missing"):
        assert state in shown.stdout
    counts = "Study: 4 runs (1 being made, 2 missing, 1 set aside); 0 of 4 cells (a run under one protocol) finished"
    reason = f"set aside: {second.id}, {second.description}: no such layer"
    assert status.stdout.splitlines()[:2] == [f"{counts}, in {queue.folder}", reason]
    assert shown.stdout.endswith(status.stdout)
    assert third.description.replace(third.spec.model, "") in " ".join(shown.stdout.split())


@pytest.mark.usefixtures("without_processes")
def test_runs_that_are_left_give_exit_code_1_and_retry_makes_them(queued: Queued, study_file: WriteFile) -> None:
    queue, file = queued(), study_file()
    (run,) = queue.plan.runs
    with queue.study.attempts(run).claim() as claim:
        assert claim is not None
        claim.record(Outcome(ending="refused", reason="no such layer"))
    command = ["study", "run", file, "--out", queue.folder, "--devices", "cpu"]
    left = wildcore(*command)
    assert left.exit_code == 1
    assert "1 set aside" in left.stdout
    assert "no such layer" in left.stdout
    assert wildcore("study", "work", queue.folder, queue.plan_name, "--device", "cpu").exit_code == 1
    assert wildcore(*command, "--retry").exit_code == 0
    assert wildcore("study", "work", queue.folder, queue.plan_name, "--device", "cpu").exit_code == 0


@pytest.mark.usefixtures("without_processes")
def test_a_half_written_run_of_another_device_is_refused_until_it_is_discarded(
    study_file: WriteFile, queued: Queued, tmp_path: Path
) -> None:
    queue, file = queued(), study_file()
    (run,) = queue.plan.runs
    assert queue.open_worker("cpu").run(run.id)
    (folder,) = queue.study.runs.iterdir()
    half = queue.study.working / folder.name
    shutil.move(folder, half)
    (half / "summary.json").unlink()
    journal = (half / "journal.jsonl").read_bytes()
    (half / "journal.jsonl").write_bytes(journal[: journal.index(b"\n") + 1])
    manifest = json.loads((half / "manifest.json").read_text())
    manifest["hardware"]["accelerator"] = "NVIDIA H100"
    del manifest["checksum"]
    (half / "manifest.json").write_text(json.dumps(manifest))
    command = ["study", "run", file, "--out", queue.folder, "--devices", "cpu"]
    refused = wildcore(*command)
    assert refused.exit_code == 1
    assert "NVIDIA H100" in refused.stdout
    assert planned_json(file, "--out", queue.folder)["runs"][0]["state"] == "set aside"
    assert (half / "journal.jsonl").read_bytes().count(b"\n") == 1, "what was begun is kept"
    done = wildcore(*command, "--discard-unfinished")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (queue.folder / "discarded").iterdir()] == [f"{folder.name}.1"]
    assert (folder / "journal.jsonl").read_bytes().count(b"\n") == 2


ERRORS = [
    (("run",), "--preset: name either a study file or a preset ("),
    (
        ("plan", "FILE", "--limit", "3"),
        "--limit: is for presets, and a study file says this itself; write it in the file",
    ),
    (("plan", "FILE", "--preset", "table3"), "--preset: name either a study file or a preset ("),
    (("plan", "--preset", "table3"), "--model: a preset needs a model; name one, or several"),
    (("plan", "--preset", "tabel3", "--model", "m"), "--preset tabel3: no such preset; did you mean 'table3'?"),
    (
        ("plan", "--preset", "table3", "--limit", "1", "--sample", "2"),
        "--limit: cannot be combined with --sample",
    ),
    (("plan", "nowhere.toml"), "nowhere.toml: cannot be read"),
    (("run", "FILE", "--devices", ","), "--devices ,: names no device"),
    (("run", "FILE", "--executor", "locl"), "unknown executor 'locl'; did you mean 'local'?"),
    (("run", "FILE", "--executor-set", "speed=3"), "speed"),
    (("status", "FOLDER"), "holds no study; name the folder that was given to study run with --out"),
    (("script", "FOLDER", "--engine", "slurm"), "holds no study"),
    (("work", "FOLDER", "plan"), "holds no study"),
]


@pytest.mark.parametrize(("arguments", "expected"), ERRORS, ids=[" ".join(one) for one, _ in ERRORS])
def test_bad_input_is_one_message_and_exit_code_2(
    study_file: WriteFile, tmp_path: Path, arguments: Sequence[str], expected: str
) -> None:
    (tmp_path / "empty" / "studies").mkdir(parents=True)
    known = {"FILE": study_file(), "FOLDER": tmp_path / "empty"}
    out = ["--out", tmp_path / "out"] if arguments[0] in ("plan", "run") else []
    done = wildcore("study", *(known.get(one, one) for one in arguments), *out)
    assert done.exit_code == 2, done.output
    assert expected in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_study_that_needs_more_time_or_room_than_there_is_is_not_begun(
    queued: Queued, study_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queued()
    (run,) = queue.plan.runs
    with queue.study.attempts(run).claim() as claim:
        assert claim is not None
        claim.record(Outcome(ending="finished", seconds=7200.0, cases=1))
    command = ["study", "run", study_file(), "--out", queue.folder, "--devices", "cpu,cpu"]
    late = wildcore(*command, "--hours", "1.5")
    assert late.exit_code == 2
    assert "what is left takes about 2.0 hours on 2 devices" in late.stderr
    free = shutil.disk_usage(queue.folder)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    full = wildcore(*command)
    assert full.exit_code == 2
    assert "6 answers need about 0.0 GB, and 0.0 GB are free" in full.stderr
    assert not queue.study.runs.exists()


def test_the_job_files_name_the_plan(queued: Queued) -> None:
    queue = queued()
    slurm = wildcore("study", "script", queue.folder, "--engine", "slurm", "--workers", "7", "--minutes", "30")
    assert slurm.exit_code == 0, slurm.output
    assert slurm.stdout.startswith("#!")
    assert f"study work {queue.folder} {queue.plan_name} --device cuda:0" in slurm.stdout
    assert "--array=0-6\n" in slurm.stdout
    sizes = ("--image", "registry/wildcore:1", "--claim", "data", "--gpus", "0", "--mount", "/data")
    kubernetes = wildcore("study", "script", queue.folder, queue.plan_name, "--engine", "kubernetes", *sizes)
    assert kubernetes.exit_code == 0, kubernetes.output
    for word in ("registry/wildcore:1", f"/data/{queue.folder.name}", queue.plan_name, "cpu"):
        assert word in kubernetes.stdout
    missing = wildcore("study", "script", queue.folder, "--engine", "kubernetes")
    assert missing.exit_code == 2
    assert "--image: Kubernetes needs it" in missing.stderr
    unknown = wildcore("study", "script", queue.folder, "other", "--engine", "slurm")
    assert unknown.exit_code == 2
    assert "holds no plan of this name" in unknown.stderr


def test_a_preset_makes_a_plan(study_file: WriteFile, edits: Path, tmp_path: Path) -> None:
    from wildcore_study.definition import read_study

    model = read_study(study_file()).models[0].model
    plan = planned_json(
        "--preset", "decomposition", "--model", model, "--editor", "ft-m", "--dataset", "counterfact",
        "--set", f"dataset.counterfact.path={edits}", "--limit", "3", "--all-cases", "--out", tmp_path / "p",
    )  # fmt: skip
    (run,) = plan["runs"]
    assert run["edits"] == 3
    assert len(run["cells"]) > 4
    assert run["answers"] == 3 * 3 * len(run["cells"])


def test_a_plan_of_another_version_is_named(queued: Queued) -> None:
    queue = queued()
    (queue.study.studies / f"{queue.plan_name}.json").write_text('{"title": 3}')
    done = wildcore("study", "status", queue.folder)
    assert done.exit_code == 2
    assert f"{queue.plan_name}.json: is damaged, or was written by another version" in done.stderr


def test_equal_studies_have_one_plan_and_another_has_its_own(queued: Queued) -> None:
    assert queued().plan_name == queued().plan_name
    other = queued(seeds="[1]")
    assert len(StudyFolder(other.folder).plans()) == 2
    assert os.listdir(other.folder) == ["studies"]
