"""Scores a run by the metrics of its protocols and by added ones. Needs the answers, not the model."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from wildcore.interfaces import Environment, Metric
from wildcore.jobs.protocols import AddedMetric, added_metrics, by_kind
from wildcore.jobs.spec import refuse_unused_settings
from wildcore.protocols import Metrics
from wildcore.records import provenance
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import AddedMetricRecord
from wildcore.registry import Registry
from wildcore.scoring.scores import score_run
from wildcore.scoring.summary import summary


def add_scores(
    registry: Registry,
    folder: RunFolder,
    names: Sequence[str],
    settings: Mapping[str, object],
    environment: Environment,
) -> None:
    """Score a finished run by further metrics. Raises ``UserError`` for a metric that does not exist or cannot work."""
    added = added_metrics(registry, names, settings)
    refuse_unused_settings(settings, {"metric": {one for name in names for one in registry.names("metric", name)}})
    prepare((one.metric for one in added), environment)
    protocols = [protocol.name for protocol in folder.manifest.protocols]
    with folder.locked():
        for note in folder.mend(("scorings.jsonl",)):
            environment.progress.note(note)
        score(registry, folder, dict.fromkeys(protocols, by_kind(added)), added)
        folder.write_summary(summary(folder))


def score(registry: Registry, folder: RunFolder, metrics: Mapping[str, Metrics], added: Sequence[AddedMetric]) -> None:
    """Score a run by ``metrics`` (by protocol), of which ``added`` are recorded; write the scores."""
    known = {record.metric for record in folder.scorings()}
    for one in added:
        if one.label not in known:
            folder.append_scoring(_scoring_record(registry, one))
    score_run(folder, metrics)


def prepare(metrics: Iterable[Metric], environment: Environment) -> None:
    """Give every metric the run's environment."""
    for metric in metrics:
        metric.prepare(environment)


def _scoring_record(registry: Registry, added: AddedMetric) -> AddedMetricRecord:
    return AddedMetricRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        metric=added.label,
        module=added.module,
        versions=provenance.versions(registry),
    )
