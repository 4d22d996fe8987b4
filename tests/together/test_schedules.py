"""Batches and sequences through the command line, whatever happens to their processes."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError, safe_open

from wildcore.records.schema import flatten

Wildcore = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
COUNT = 10
KEPT = "sequence.safetensors"

# the command line, which keeps what it wrote after every update, and is slow enough to be killed where that is wanted
KEEPING = """
import time
from wildcore.records.run_folder import RunFolder
from wildcore.evaluation.checkpoints import PeriodicCheckpoint
append = RunFolder.append
PeriodicCheckpoint.save_if_due = lambda keeper: (keeper.save(), time.sleep(0.2))
RunFolder.append = lambda folder, record: (append(folder, record), time.sleep(0.2))
from wildcore.cli import main
main()
"""
# the command line in its first half minute: it has kept nothing yet; it says how far it is
COUNTING = """
import sys, time
from wildcore.evaluation.checkpoints import PeriodicCheckpoint
def count(keeper):
    print("written", len(keeper.written.outcomes), file=sys.stderr, flush=True)
    time.sleep(0.2)
PeriodicCheckpoint.save_if_due = count
from wildcore.cli import main
main()
"""


def records(run: Path, file: str) -> list[dict[str, Any]]:
    """Return the lines of a run's file as flat mappings, without the one thing that may differ: how long an edit took."""
    lines = [flatten(json.loads(line)) for line in (run / file).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("edit.seconds", "checksum")} for line in lines]


def differences(one: Path, other: Path, file: str) -> list[str]:
    """Return where two runs' files differ."""
    pairs = list(zip(records(one, file), records(other, file), strict=True))
    keys = [(number, key) for number, (first, second) in enumerate(pairs) for key in first.keys() | second.keys()]
    return sorted(f"{number}.{key}" for number, key in keys if pairs[number][0].get(key) != pairs[number][1].get(key))


def updates_kept(run: Path) -> int:
    try:
        with safe_open(run / KEPT, framework="numpy") as stream:
            return int(json.loads(stream.metadata()["wildcore-sequence"])["updates"])
    except (FileNotFoundError, SafetensorError):
        return 0


def cases_evaluated(run: Path) -> int:
    journal = run / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def kill_at(process: subprocess.Popen[str], so_far: Callable[[], int], count: int) -> None:
    """Kill a process as soon as ``so_far`` says ``count``."""
    deadline = time.monotonic() + 120
    while so_far() < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.005)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def interrupt_at(process: subprocess.Popen[str], count: int) -> str:
    """Send Ctrl-C to a process as soon as it has ``written`` so much; returns all that it says on stderr."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line == f"written {count}\n":
            process.send_signal(signal.SIGINT)
            break
    return said + process.communicate(timeout=60)[1]


def sequence(job: list[object], editor: str, *settings: object) -> list[object]:
    return [*job[:-1], editor, *settings, "--limit", COUNT, "--parallel", 3, "--schedule", "sequential"]


def require_ends_as(whole: Path, run: Path, known: int, wildcore: Wildcore) -> None:
    """Take a run up for the last time, of which ``known`` edits were kept."""
    last = wildcore("eval", "--resume", run)
    assert last.returncode == 0, last.stderr
    assert f"{known} of {COUNT} edits were written before" in last.stderr
    assert not differences(run, whole, "journal.jsonl")
    assert not differences(run, whole, "scores.jsonl")


def test_killed_and_interrupted_while_it_writes_and_judges_it_ends_with_the_same_records(
    start_python: Start, wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    chosen = sequence(job, "grace", "--set", "editor.steps=30")
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = wildcore("eval", *chosen, "--out", whole, "--quiet")
    assert done.returncode == 0, done.stderr
    kill_at(start_python("-c", KEEPING, "eval", *chosen, "--out", run, "--quiet"), lambda: updates_kept(run), 3)
    before = updates_kept(run)
    assert 3 <= before < COUNT - 2
    interrupted = start_python("-c", COUNTING, "eval", "--resume", run)
    errors = interrupt_at(interrupted, before + 2)
    assert interrupted.returncode == 130
    assert f"{before} of {COUNT} edits were written before" in errors
    assert f"Interrupted; what is finished is kept. Go on with: wildcore eval --resume {run}" in errors
    assert "Traceback" not in errors
    assert before + 2 <= updates_kept(run) < COUNT
    assert cases_evaluated(run) == 0
    kill_at(start_python("-c", KEEPING, "eval", "--resume", run, "--quiet"), lambda: cases_evaluated(run), 1)
    assert cases_evaluated(run) < COUNT
    require_ends_as(whole, run, COUNT, wildcore)


def test_an_editor_without_state_goes_on_too(
    start_python: Start, wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    chosen = sequence(job, "ft-m")
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = wildcore("eval", *chosen, "--out", whole, "--quiet")
    assert done.returncode == 0, done.stderr
    kill_at(start_python("-c", KEEPING, "eval", *chosen, "--out", run, "--quiet"), lambda: updates_kept(run), 3)
    before = updates_kept(run)
    assert 3 <= before < COUNT
    require_ends_as(whole, run, before, wildcore)


def manifest(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return content


def test_the_schedule_is_recorded_shown_and_compared(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    chosen = [*job, "--limit", 5, "--quiet"]
    for name, options in {
        "batch": ["--schedule", "batch"],
        "pairs": ["--schedule", "sequential", "--edits-per-update", 2],
    }.items():
        done = wildcore("eval", *chosen, *options, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert manifest(tmp_path / "batch")["identity"]["schedule"]["edits_per_update"] == 5
    said = "Schedule: sequential, 2 edits per update; evaluated after all edits; model put back after all edits"
    assert said in wildcore("show", tmp_path / "pairs").stdout
    compared = wildcore("compare", tmp_path / "batch", tmp_path / "pairs").stdout
    assert "run  schedule    s per edit\n1    batch " in compared
    assert "\n2    sequential " in compared
    resumed = wildcore("eval", "--resume", tmp_path / "pairs", "--schedule", "batch", "--edits-per-update", 3)
    assert resumed.returncode == 2
    assert "schedule.edits was 'sequential' and is now 'batch'" in resumed.stderr
    assert "schedule.edits_per_update was 2 and is now 3" in resumed.stderr
    same = wildcore("eval", "--resume", tmp_path / "pairs", "--schedule", "sequential", "--edits-per-update", 2)
    assert same.returncode == 0, same.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--edits-per-update", 3], "--edits-per-update 3: single edits are written alone"),
        (["--schedule", "batch", "--edits-per-update", 0], "0 is not in the range x>=1"),
        (["--schedule", "serial"], "'serial' is not one of 'single', 'batch', 'sequential'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: list[object], message: str, wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    done = wildcore("eval", *job, "--limit", 2, *options, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_patch_that_is_there_is_evaluated_by_no_other_schedule(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    done = wildcore("eval", *job[:-2], "--patch", tmp_path / "facts.safetensors", "--schedule", "sequential")
    assert done.returncode == 2
    assert "--schedule sequential: cannot be combined with --patch, whose edits are already made" in done.stderr


def test_a_sequence_is_judged_at_points_measured_shown_and_resumed(
    start_python: Start, wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    chosen = [*sequence(job, "ft-m"), "--judge-at", "2,5,50", "--checkpoint-every", "0"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = wildcore("eval", *chosen, "--out", whole)
    assert done.returncode == 0, done.stderr
    assert f"Note: --judge-at 2,5,50: {COUNT} edits do not reach 50, left out" in done.stderr
    assert re.search(
        rf"after 5 of {COUNT} edits: reliability synthetic [01]\.[0-9]{{3}}, wild [01]\.[0-9]{{3}}", done.stderr
    )
    assert (
        "evaluated after 2, 5 edits and after all, with all cases so far; model put back after all edits" in done.stdout
    )
    made = json.loads(wildcore("show", whole, "--json").stdout)
    assert [point["after_edits"] for point in made["points"]] == [0, 2, 5, COUNT]
    matrix = next(one for one in made["matrices"] if one["protocol"] == "wild")
    assert matrix["groups"] == [[1, 2], [3, 5], [6, COUNT]]
    last = {cell["protocol"]: cell for cell in made["points"][-1]["cells"] if cell["kind"] == "reliability"}
    assert last == {cell["protocol"]: cell for cell in made["cells"] if cell["kind"] == "reliability"}
    kill_at(start_python("-m", "wildcore", "eval", *chosen, "--out", run, "--quiet"), lambda: cases_evaluated(run), 4)
    assert cases_evaluated(run) < 2 + 5 + COUNT
    again = wildcore("eval", "--resume", run)
    assert again.returncode == 0, again.stderr
    for name in ("journal.jsonl", "points.jsonl", "scores.jsonl"):
        assert not differences(run, whole, name)


def test_several_orders_make_several_runs_and_one_table_over_them(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    chosen = [*job, "--limit", 4, "--quiet", "--schedule", "sequential", "--measure", "none"]
    done = wildcore("eval", *chosen, "--edit-order", 1, "--edit-order", 2, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    first, second = (manifest(tmp_path / "runs" / f"order-{seed}") for seed in (1, 2))
    assert sorted(first["case_ids"]) == sorted(second["case_ids"])
    assert first["case_ids"] != second["case_ids"]
    assert first["identity"]["schedule"]["order"] == "shuffled with seed 1"
    assert "ft-m: 2 orders of edits" in done.stdout
