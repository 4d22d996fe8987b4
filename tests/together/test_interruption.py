"""A run survives what happens to processes."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Wildcore = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
KILLS = 20


def records(run: Path, file: str) -> list[dict[str, Any]]:
    """Return the lines of a run's file, without the one thing that may differ: how long an edit took."""
    lines = [json.loads(line) for line in (run / file).read_text().splitlines()]
    for line in lines:
        line.get("edit", {}).pop("seconds", None)
        line.pop("checksum")
    return lines


def finished_cases(run: Path) -> int:
    journal = run / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_cases(process: subprocess.Popen[str], run: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while finished_cases(run) < count and process.poll() is None:
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.005)


@pytest.fixture
def uninterrupted(wildcore: Wildcore, job: list[object], tmp_path: Path) -> Path:
    run = tmp_path / "uninterrupted"
    done = wildcore("eval", *job, "--out", run, "--quiet")
    assert done.returncode == 0, done.stderr
    return run


def test_killed_twenty_times_it_ends_with_the_same_records(
    uninterrupted: Path, start: Start, wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    drawn = random.Random(20)
    survived = 0
    for kill in range(KILLS):
        beginning = (run / "manifest.json").exists()
        before = finished_cases(run)
        process = start("eval", *(["--resume", run] if beginning else [*job, "--out", run]), "--quiet")
        # every third kill falls anywhere from the start on, the others shortly after a case was written
        if kill % 3:
            wait_for_cases(process, run, min(before + 1, 40))
            time.sleep(drawn.uniform(0, 0.15))
        else:
            time.sleep(drawn.uniform(0.5, 8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert finished_cases(run) >= before, "a finished case was lost"
        survived += process.returncode == -signal.SIGKILL
    assert survived >= KILLS // 2, "most kills must hit a working process"
    last = wildcore("eval", "--resume", run, "--quiet")
    assert last.returncode == 0, last.stderr
    assert records(run, "journal.jsonl") == records(uninterrupted, "journal.jsonl")
    assert records(run, "scores.jsonl") == records(uninterrupted, "scores.jsonl")


def test_a_half_written_line_is_cut_off_reported_and_done_again(
    uninterrupted: Path, wildcore: Wildcore, tmp_path: Path
) -> None:
    expected = records(uninterrupted, "journal.jsonl")
    journal = uninterrupted / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[: content[:-1].rfind(b"\n") + 40])
    done = wildcore("eval", "--resume", uninterrupted)
    assert done.returncode == 0, done.stderr
    assert "half written (39 bytes)" in done.stderr
    assert records(uninterrupted, "journal.jsonl") == expected


def test_ctrl_c_exits_with_130_and_says_how_to_go_on(
    start: Start, wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "stopped"
    process = start("eval", *job, "--out", run)
    wait_for_cases(process, run, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"wildcore eval --resume {run}" in errors
    assert "Traceback" not in errors
    kept = finished_cases(run)
    assert 2 <= kept < 40, "only a case that was just being written may be taken back"
    shown = wildcore("show", run)
    assert shown.returncode == 2
    assert f"unfinished, {kept} of 40" in shown.stderr
    assert wildcore("eval", "--resume", run, "--quiet").returncode == 0
    assert finished_cases(run) == 40


@pytest.mark.parametrize("imported", ["click", "pydantic", "rich.console", "wildcore.cli", "torch._C", "transformers"])
def test_ctrl_c_while_the_command_starts_ends_it_with_one_line(
    imported: str, start_python: Callable[..., subprocess.Popen[str]], job: list[object], tmp_path: Path
) -> None:
    process = start_python("-X", "importtime", "-m", "wildcore", "eval", *job, "--out", tmp_path / "run", "--quiet")
    assert process.stderr is not None
    for line in process.stderr:
        if line.rpartition("|")[2].strip() == imported:
            break
    else:
        pytest.fail(f"{imported} was never imported")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert [line for line in errors.splitlines() if not line.startswith("import time:")] == ["Interrupted."]
    assert process.returncode == 130


def test_a_resumed_run_may_use_another_number_of_threads(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = wildcore("eval", *job, "--limit", 2, "--out", run, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "threads: 1 (--threads)" in done.stderr
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(lines[0])
    resumed = wildcore("eval", "--resume", run, "--threads", 2)
    assert resumed.returncode == 0, resumed.stderr
    assert "threads: 2 (--threads)" in resumed.stderr
    worked = [json.loads(line) for line in (run / "work.jsonl").read_text().splitlines()]
    assert [record["hardware"]["threads"] for record in worked] == [1, 2]


def test_resuming_with_other_parameters_is_refused_naming_them(uninterrupted: Path, wildcore: Wildcore) -> None:
    other = wildcore("eval", "--resume", uninterrupted, "--set", "editor.steps=3", "--seed", 5, "--protocol", "wild")
    assert other.returncode == 2
    assert "editor.params.steps was 25 and is now 3" in other.stderr
    assert "; seed was 0 and is now 5" in other.stderr
    assert "dataset.seed" not in other.stderr
    assert "protocols.synthetic" in other.stderr
    drawn = wildcore("eval", "--resume", uninterrupted, "--sample-seed", 5)
    assert "not the same run: dataset.seed was 0 and is now 5" in drawn.stderr
    same = wildcore("eval", "--resume", uninterrupted, "--seed", 0, "--quiet")
    assert same.returncode == 0, same.stderr


def test_resuming_with_changed_data_is_refused(uninterrupted: Path, edits: Path, wildcore: Wildcore) -> None:
    edits.write_text(edits.read_text().replace("Oliver Stone", "Oliver Stein"))
    refused = wildcore("eval", "--resume", uninterrupted)
    assert refused.returncode == 2
    assert "dataset.hash was" in refused.stderr


def test_two_processes_in_one_run_are_refused(
    start: Start, wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "shared"
    process = start("eval", *job, "--out", run)
    wait_for_cases(process, run, 1)
    process.send_signal(signal.SIGSTOP)  # or it might be through before the second has started
    second = wildcore("eval", "--resume", run)
    process.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert "another process is working in this run" in second.stderr
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert finished_cases(run) == 40


def test_what_is_noted_after_the_beginning_is_recorded_and_shown(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert wildcore("eval", *job, "--limit", 2, "--out", run, "--quiet").returncode == 0
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["versions"]["wildcore-ft"] = "0.0.1"
    del manifest["checksum"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    journal = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(journal[0])
    assert wildcore("eval", "--resume", run, "--quiet").returncode == 0
    first, second = [json.loads(line) for line in (run / "work.jsonl").read_text().splitlines()]
    said = f"the run was begun with wildcore-ft 0.0.1 and goes on with {second['versions']['wildcore-ft']}"
    assert first["notes"] == []
    assert said in second["notes"]
    assert second["hardware"] == manifest["hardware"]
    assert f"Note: {said}" in wildcore("show", run).stdout
