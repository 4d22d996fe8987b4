"""Runs that are tracked: what a tracker is told, and that no tracker changes a run, whatever happens to either."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wildcore.records.schema import flatten
from wildcore.testing.processes import run_python

SAMPLE = Path(__file__).parents[1] / "core" / "packages" / "sample-trackers"
Done = subprocess.CompletedProcess[str]
AFTER = "wild/reliability/exact-match/after"
MANUAL = """
import time
from wildcore.records.run_folder import RunFolder
append = RunFolder.append
RunFolder.append = lambda folder, record: (append(folder, record), time.sleep(0.2))
from wildcore.cli import main
main()
"""
"""The command line, slow enough to be killed between two cases."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, str]:
    """The environment of the processes, with the sample trackers installed."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "sample_trackers-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sample-trackers\nVersion: 1.0\n")
    shutil.copy(SAMPLE / "entry_points.txt", metadata)
    shutil.copy(SAMPLE / "sample_trackers.py", site)
    return environment | {"PYTHONPATH": str(site)}


@pytest.fixture
def tracked(environment: dict[str, str]) -> Callable[..., Done]:
    """A function that runs ``wildcore eval``, with more variables if they are given."""

    def run(*arguments: object, **variables: str) -> Done:
        return run_python(["-m", "wildcore", "eval", *map(str, arguments)], environment | variables)

    return run


def told(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def points(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [call["point"] for call in calls if "point" in call]


def to(file: Path, name: str = "keeps") -> list[str]:
    """Return the options that write down in ``file`` what the tracker ``name`` is told."""
    return ["--track", name, "--set", f"tracker.{name}.file={file}"]


def content(run: Path) -> dict[str, Any]:
    """Return everything in a run's folder but times and what follows from them."""
    found: dict[str, Any] = {}
    for file in sorted(run.rglob("*")):
        lines = file.read_text(errors="replace").splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        found[str(file.relative_to(run))] = [plain(line) for line in lines if line]
    return found


def plain(line: str) -> Any:
    try:
        flat = flatten(json.loads(line))
    except ValueError:
        return line
    timed = ("seconds", "checksum", "created", "ended", "sha256", "bytes")
    return {key: value for key, value in flat.items() if not any(part in key for part in timed)}


def test_a_run_is_the_same_whatever_its_trackers_do(
    tracked: Callable[..., Done], job: list[object], tmp_path: Path
) -> None:
    chosen = [*job, "--limit", 6, "--json"]
    alone = tracked(*chosen, "--out", tmp_path / "alone")
    every = [
        option for name in ("keeps", "raises", "leaves", "lies") for option in to(tmp_path / f"{name}.jsonl", name)
    ]
    done = tracked(*chosen, "--out", tmp_path / "tracked", *every, SAMPLE_API_KEY="sk-hidden-value")
    assert alone.returncode == done.returncode == 0, done.stderr
    assert content(tmp_path / "tracked") == content(tmp_path / "alone")
    assert plain(done.stdout) == plain(alone.stdout), "what a tracker prints is not among the results"
    assert "tracker raises: ConnectionError: refused for the key *** (8 of 8 messages were not stored" in done.stderr
    assert "tracker leaves: its process ended (7 of 8 messages" in done.stderr
    assert "tracker lies" not in done.stderr
    assert "a lie" not in done.stderr
    assert "sk-hidden-value" not in done.stderr + (tmp_path / "keeps.jsonl").read_text()

    start, *between, finish = told(tmp_path / "keeps.jsonl")
    manifest = json.loads((tmp_path / "tracked" / "manifest.json").read_text())
    assert {key: manifest[key] for key in start["start"]["manifest"]} == start["start"]["manifest"]
    assert [one["edits"] for one in points(between)] == [1, 2, 3, 4, 5, 6]
    cells = {f"{c['protocol']}/{c['kind']}/{c['metric']}/after": c["after"] for c in json.loads(done.stdout)["cells"]}
    last = points(between)[-1]["numbers"]
    assert {name: last[name] for name in cells} == pytest.approx(cells)
    summary = finish["finish"]
    assert summary["status"] == "finished"
    assert {name: summary["numbers"][f"summary/{name}"] for name in cells} == pytest.approx(cells)
    assert not summary["cases"], "answers are sent only if the user asks for them"


def test_a_sequence_is_told_by_judging_point_and_again_when_it_is_resumed(
    tracked: Callable[..., Done], start_python: Callable[..., Any], job: list[object], tmp_path: Path
) -> None:
    run, file = tmp_path / "run", tmp_path / "told.jsonl"
    sequence = ["--limit", 8, "--schedule", "sequential", "--judge-at", "every:2", "--checkpoint-every", "0"]
    process = start_python("-c", MANUAL, "eval", *job, *sequence, "--out", run, *to(file), "--quiet")
    deadline = time.monotonic() + 60
    while not any(point["edits"] == 4 for point in points(told(file))):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    while "finish" not in told(file)[-1]:
        assert time.monotonic() < deadline, "the tracker does not notice that the run was killed"
        time.sleep(0.02)
    first = told(file)
    assert first[-1]["finish"] == {"status": "interrupted", "numbers": {}, "cases": []}
    assert [one["edits"] for one in points(first)] == [0, 2, 4]

    done = tracked("--resume", run, *to(file), "--set", "tracker.keeps.cases=true", "--quiet")
    assert done.returncode == 0, done.stderr
    second = told(file)[len(first) :]
    assert second[0]["start"]["id"] == first[0]["start"]["id"]
    assert [one["edits"] for one in points(second)] == [0, 2, 4, 6, 8]
    assert points(second)[:3] == points(first)
    assert second[-1]["finish"]["status"] == "finished"
    rows = second[-1]["finish"]["cases"]
    assert len(rows) == len((run / "scores.jsonl").read_text().splitlines()) // 20 * 8
    assert {"question", "gold", "answer_after"} <= rows[0].keys()

    summary = json.loads((run / "summary.json").read_text())
    means = {
        point["after_edits"]: cell["after"]
        for point in summary["points"]
        for cell in point["cells"]
        if (cell["protocol"], cell["kind"]) == ("wild", "reliability")
    }
    assert {one["edits"]: one["numbers"][AFTER] for one in points(second) if one["edits"]} == pytest.approx(means)
    perplexity = {one["edits"]: one["numbers"]["measured/perplexity/perplexity"] for one in points(second)}
    measured = {
        point["after_edits"]: point["model"]["measured"]["perplexity"][0]["value"] for point in summary["points"]
    }
    assert perplexity == pytest.approx(measured)
