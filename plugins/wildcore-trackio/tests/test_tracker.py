"""Runs in a folder of trackio, read back by trackio's own interface."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wildcore_trackio.parameters import TrackioParams
from wildcore_trackio.tracker import Trackio

from wildcore.testing.trackers import Stored, check_tracker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of trackio, which reads its place when it is imported."""
    made: Path = tmp_path_factory.mktemp("trackio")
    before = os.environ.get("TRACKIO_DIR")
    yield made
    if before is None:
        os.environ.pop("TRACKIO_DIR", None)
    else:
        os.environ["TRACKIO_DIR"] = before


def read(project: str, run_id: str) -> list[Stored]:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    runs = [run for run in trackio.Api().runs(project) if run.name.endswith(f"-{run_id}")]
    return [stored(run, SQLiteStorage.get_logs(project, run=run.name)) for run in runs]


def stored(run: Any, logs: list[dict[str, Any]]) -> Stored:
    numbers: dict[str, list[tuple[int, float]]] = {}
    summary: dict[str, float] = {}
    for log in sorted(logs, key=lambda log: log["step"]):
        for name, value in log.items():
            if name.startswith("summary/"):
                summary[name] = value
            elif isinstance(value, float):
                numbers.setdefault(name, []).append((log["step"], value))
    status: Any = [log["status"] for log in logs if "status" in log] or ["running"]
    tables = [log["cases"]["_value"] for log in logs if "cases" in log]
    return Stored(numbers, summary, status[-1], run.config, sum(map(len, tables)))


def test_it_stores_what_it_is_told(folder: Path) -> None:
    params = TrackioParams(project="checked", folder=folder)
    check_tracker(lambda: Trackio(params), lambda run_id: read("checked", run_id), folder)
