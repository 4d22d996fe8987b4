"""The tracker ``mlflow``: a run of MLflow for each run."""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wildcore import Parameter, TrackedEnd, TrackedPoint, TrackedRun, Tracker, UserError
from wildcore_mlflow.parameters import MlflowParams

FOLDER = "mlruns"
IN_FILES = ("", "file")
IN_A_DATABASE = ("sqlite", "postgresql", "mysql", "mssql")
ID = "wildcore.run"
"""The tag by which the run of MLflow is found again."""
EDITS = "edits"
"""The metric that is stored with every point: the number of edits."""
NOT_IN_A_NAME = re.compile(r"[^\w\-. :/]", re.ASCII)
MOST_AT_ONCE = {"metrics": 500, "params": 100}
"""MLflow's own limits for one request."""
MOST_CHARACTERS = 6000
"""MLflow's own limit for a parameter."""
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
"""MLflow's variables for how long it waits for a server, as far as the user has not set them."""


class Mlflow(Tracker):
    """Stores metrics by the number of edits, the run's identity as parameters, and the manifest as an artifact.

    A run that is resumed continues its run of MLflow.
    """

    def __init__(self, params: MlflowParams) -> None:
        """Raise ``UserError`` if a package is missing, or if the address contains a password, which is not repeated."""
        self.params = params
        if params.uri is not None and "@" in urlsplit(params.uri).netloc:
            raise UserError(
                "an address with a user or a password is not accepted",
                about=Parameter("tracker.mlflow.uri"),
                way_out="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_URI",
            )
        self.uri = params.uri or os.environ.get("MLFLOW_TRACKING_URI") or FOLDER
        scheme = urlsplit(self.uri).scheme.partition("+")[0]
        if scheme in IN_A_DATABASE and find_spec("sqlalchemy") is None:
            raise UserError(
                "a database needs MLflow with all its parts, and mlflow-skinny is installed",
                about="tracker mlflow",
                way_out="install it (pip install mlflow), or choose a folder or a server",
            )
        if scheme in IN_FILES:
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # this process is the tracker's own
            self.uri = self.uri if scheme else Path(self.uri).expanduser().resolve().as_uri()
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        try:
            self._entities = import_module("mlflow.entities")
            self._client = import_module("mlflow").MlflowClient(tracking_uri=self.uri)
        except ImportError as error:
            raise UserError(
                f"the package mlflow cannot be imported ({error})",
                about="tracker mlflow",
                way_out="install it: pip install mlflow-skinny",
            ) from error
        self._known: frozenset[int] = frozenset()
        self._last = 0

    def start(self, run: TrackedRun) -> str:
        """Begin a run in the experiment, or continue the one that has the id as a tag."""
        experiment = self._experiment()
        found = self._client.search_runs([experiment], filter_string=f"tags.`{ID}` = '{run.id}'", max_results=1)
        if found:
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            self._known = frozenset(one.step for one in self._client.get_metric_history(self._run, EDITS))
        else:
            tags = {ID: run.id, "wildcore.folder": str(run.folder)}
            self._run = self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
            identity = {_name(name): value[:MOST_CHARACTERS] for name, value in _flat(run.manifest.get("identity", {}))}
            for some in _in_parts(list(identity.items()), MOST_AT_ONCE["params"]):
                params = [self._entities.Param(name, value) for name, value in some]
                self._client.log_batch(self._run, params=params)
            self._client.log_dict(self._run, dict(run.manifest), "manifest.json")
        return f"{self.uri}, experiment {self.params.experiment}, run {run.name} ({self._run})"

    def point(self, point: TrackedPoint) -> None:
        """Store the metrics of a point, unless they are stored already."""
        self._last = point.edits
        if point.edits in self._known:
            return
        self._metrics({**point.numbers, EDITS: float(point.edits)}, point.edits)
        if point.collapse:
            self._client.set_tag(self._run, f"collapse.{point.edits}", "; ".join(point.collapse)[:MOST_CHARACTERS])

    def finish(self, end: TrackedEnd) -> None:
        """Store the numbers of the summary at the step of the last point, and end the run."""
        self._metrics(end.numbers, self._last)
        if end.cases:
            columns = list(end.cases[0])
            table = {"columns": columns, "data": [[row[name] for name in columns] for row in end.cases]}
            self._client.log_dict(self._run, table, "cases.json")
            shown = json.dumps([{"path": "cases.json", "type": "table"}])
            self._client.set_tag(self._run, "mlflow.loggedArtifacts", shown)  # MLflow shows it as a table
        self._client.set_terminated(self._run, status="FINISHED" if end.status == "finished" else "KILLED")

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.params.experiment)
        experiment: str = found.experiment_id if found else self._client.create_experiment(self.params.experiment)
        return experiment

    def _metrics(self, numbers: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        for some in _in_parts(list(numbers.items()), MOST_AT_ONCE["metrics"]):
            metrics = [self._entities.Metric(_name(name), value, now, step) for name, value in some]
            self._client.log_batch(self._run, metrics=metrics)


def _name(name: str) -> str:
    """Return a name with what MLflow does not accept replaced by an underscore."""
    return NOT_IN_A_NAME.sub("_", name)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the plain values of nested mappings under dotted names; a list is one value, as JSON."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)


def _in_parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
