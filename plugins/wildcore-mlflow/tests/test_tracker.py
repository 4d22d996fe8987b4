"""Runs in the file store of MLflow, read back through MLflow's own client."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from wildcore_mlflow.parameters import MlflowParams
from wildcore_mlflow.tracker import EDITS, ID, Mlflow

from wildcore import TrackedPoint, TrackedRun, UserError
from wildcore.testing.trackers import Stored, check_tracker

STATUS: Any = {"RUNNING": "running", "FINISHED": "finished", "KILLED": "interrupted"}


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=folder.resolve().as_uri())


def read(folder: Path, run_id: str) -> list[Stored]:
    client = client_of(folder)
    experiments = [one.experiment_id for one in client.search_experiments()]
    return [stored(client, run) for run in client.search_runs(experiments, f"tags.`{ID}` = '{run_id}'")]


def stored(client: MlflowClient, run: Any) -> Stored:
    run_id = run.info.run_id
    artifacts = {one.path: client.download_artifacts(run_id, one.path) for one in client.list_artifacts(run_id)}
    numbers = {
        name: [(one.step, one.value) for one in client.get_metric_history(run_id, name)] for name in run.data.metrics
    }
    manifest = json.loads(Path(artifacts["manifest.json"]).read_text())
    cases = json.loads(Path(artifacts["cases.json"]).read_text())["data"] if "cases.json" in artifacts else []
    return Stored(
        numbers={name: values for name, values in numbers.items() if not name.startswith("summary/")},
        summary={name: value for name, value in run.data.metrics.items() if name.startswith("summary/")},
        status=STATUS[run.info.status],
        manifest=manifest,
        rows=len(cases),
    )


def test_it_stores_what_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    check_tracker(lambda: Mlflow(MlflowParams(uri=str(folder))), lambda run_id: read(folder, run_id), tmp_path)


def test_the_identity_becomes_parameters_and_signs_become_tags(tmp_path: Path) -> None:
    tracker = Mlflow(MlflowParams(uri=str(tmp_path), experiment="mine"))
    identity = {"editor": {"name": "rome", "params": {"layers": [1, 2]}}, "seed": 0}
    tracker.start(TrackedRun("ab" * 8, "one", tmp_path, {"identity": identity}))
    tracker.point(TrackedPoint(5, {"wild/reliability/exact-match/after": 0.5}, ("perplexity is 812",)))
    client = client_of(tmp_path)
    experiment = client.get_experiment_by_name("mine")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "one"
    assert run.data.params == {"editor.name": "rome", "editor.params.layers": "[1, 2]", "seed": "0"}
    assert run.data.metrics == {"wild/reliability/exact-match/after": 0.5, EDITS: 5.0}
    assert run.data.tags["collapse.5"] == "perplexity is 812"


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        Mlflow(MlflowParams(uri="https://me:hunter2@host/path"))
    assert "hunter2" not in str(caught.value)


def test_a_missing_address_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "elsewhere"))
    assert Mlflow(MlflowParams()).uri == (tmp_path / "elsewhere").as_uri()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert Mlflow(MlflowParams()).uri == (tmp_path / "mlruns").as_uri()


def test_more_numbers_than_one_request_may_have_are_stored(tmp_path: Path) -> None:
    tracker = Mlflow(MlflowParams(uri=str(tmp_path)))
    identity = {f"parameter {number}": number for number in range(150)}
    tracker.start(TrackedRun("ab" * 8, "one", tmp_path, {"identity": identity}))
    tracker.point(TrackedPoint(1, {f"measured/many/{number}": float(number) for number in range(1100)}))
    client = client_of(tmp_path)
    (run,) = client.search_runs([client.get_experiment_by_name("wildcore").experiment_id])
    assert len(run.data.params) == 150
    assert len(run.data.metrics) == 1101
