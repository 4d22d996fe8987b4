"""The plan of one evaluation, made and checked before its model is loaded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from wildcore.datasets.selection import CaseReader, require_some
from wildcore.evaluation.checkpoints import read_patch_or_run
from wildcore.interfaces import Environment, Measurement, Metric, Progress
from wildcore.jobs.build import MadeEditor, choice_of, make, make_editor, make_reader, model_request, segmenters
from wildcore.jobs.own_facts import NOTE, own_facts_reader
from wildcore.jobs.protocols import AddedMetric, added_metrics, by_kind, make_protocol, ready_protocols
from wildcore.jobs.score import prepare
from wildcore.jobs.spec import JobSpec, names_used, settings_for
from wildcore.jobs.tracking import Trackers
from wildcore.models.loaded import LoadedModel, ModelRequest
from wildcore.models.loading import read_shape
from wildcore.patches.files import PatchFile
from wildcore.protocols import Metrics, ReadyProtocol, with_added
from wildcore.registry import Registry
from wildcore.scripts import SEPARATORS
from wildcore.storage.cache import cache_folder
from wildcore.trace import Trace
from wildcore.types import EditCase


class Reporting(Progress, Protocol):
    """Progress that can also print a line, and show what was finished last."""

    notes: list[str]

    def line(self, message: str) -> None:
        """Print a line."""
        ...

    def latest(self, message: str) -> None:
        """Show a message until the next one, where the display allows it."""
        ...


@dataclass(frozen=True)
class EvaluationPlan:
    """The runs of one call, which differ only in their editors, with everything that they need besides the model.

    ``candidates`` are the cases to choose from, as an iterator. ``failing_under`` is the protocol of the failure filter
    (None: no filter). ``metrics`` maps the name of each protocol to its metrics, followed by those ``added``. ``measurements``
    are made at judging points, by their names. ``dataset`` is the description of the dataset for the manifest, before its
    cases are chosen. ``editors`` are those of the jobs by their names; empty if the file ``patch`` is evaluated. ``trackers`` are
    shown the numbers of the runs.
    """

    registry: Registry
    reporter: Reporting
    environment: Environment
    spec: JobSpec
    request: ModelRequest
    reader: CaseReader
    dataset: Mapping[str, Any]
    candidates: Iterator[EditCase]
    protocols: Sequence[ReadyProtocol]
    failing_under: ReadyProtocol | None
    added: Sequence[AddedMetric]
    metrics: Mapping[str, Metrics]
    measurements: Mapping[str, Measurement]
    patch: PatchFile | None
    editors: Mapping[str, MadeEditor]
    trackers: Trackers


def plan_evaluation(
    registry: Registry,
    specs: Sequence[JobSpec],
    reporter: Reporting,
    loaded: LoadedModel | None = None,
    editor: MadeEditor | None = None,
    started: datetime | None = None,
    trackers: Trackers | None = None,
) -> EvaluationPlan:
    """Plan the runs of one call. Raises ``UserError`` for bad input, as far as it can be checked without the model's weights.

    ``loaded`` is the model of the jobs, if it is loaded already. ``editor`` is the editor of a single job, if no plugin offers
    it. ``started`` is the local time at which the run was started, if it is resumed. ``trackers`` are started.
    """
    spec = specs[0]
    trackers = trackers or Trackers()
    trackers.start()
    environment = Environment(
        cache_folder(),
        spec.seed,
        reporter,
        Trace() if spec.trace else None,
        segmenters(registry),
        started or datetime.now(),
    )
    patch = read_patch_or_run(Path(spec.patch)) if spec.patch else None
    reader, dataset = _reader(registry, spec, patch, reporter)
    editors = [] if patch else [one.editor for one in specs]
    beside = names_used(registry, editors, spec.dataset, spec.added_metrics, spec.measurements)
    protocols = ready_protocols(registry, spec, beside, reader)
    measurements = _measurements(registry, spec, environment)
    added = added_metrics(registry, spec.added_metrics, spec.settings)
    metrics = {p.name: with_added(p.metrics, by_kind(added)) for p in protocols}
    candidates = _candidates(spec, reader)
    prepare(_distinct(metrics.values()), environment)
    request = _request(registry, spec, patch)
    shape = loaded.shape if loaded else read_shape(request, registry.families)
    trackers.require_ready()
    return EvaluationPlan(
        registry=registry,
        reporter=reporter,
        environment=environment,
        spec=spec,
        request=request,
        reader=reader,
        dataset=dataset,
        candidates=candidates,
        protocols=protocols,
        failing_under=_failing_under(registry, spec, protocols, environment),
        added=added,
        metrics=metrics,
        measurements=measurements,
        patch=patch,
        editors={} if patch else {one.editor: editor or make_editor(registry, one, shape) for one in specs},
        trackers=trackers,
    )


def _measurements(registry: Registry, spec: JobSpec, environment: Environment) -> dict[str, Measurement]:
    """Make the job's measurements. Raises ``UserError`` for one that is not offered or cannot be made."""
    made: dict[str, Measurement] = {}
    for name in spec.measurements:
        found = registry.find("measurement", name)
        made[found.offer.name] = make(
            found, "measurement", settings_for(spec.settings, "measurement", found.offer.names)
        )[0]
    for measurement in made.values():
        measurement.prepare(environment)
    return made


def _reader(
    registry: Registry, spec: JobSpec, patch: PatchFile | None, reporter: Reporting
) -> tuple[CaseReader, dict[str, Any]]:
    if patch is None or spec.dataset:
        return make_reader(registry, spec)
    reporter.note(NOTE)
    return own_facts_reader(patch, choice_of(spec))


def _candidates(spec: JobSpec, reader: CaseReader) -> Iterator[EditCase]:
    """Return the candidates for cases, read and checked as far as possible before the model is loaded."""
    found = reader.read_ahead() if spec.only_failures else iter(require_some(reader.name, reader.cases()))
    return (case.with_separators(SEPARATORS[spec.target_separator]) for case in found)


def _request(registry: Registry, spec: JobSpec, patch: PatchFile | None) -> ModelRequest:
    """Return the model to load. A patch is evaluated in the dtype in which it was made, unless another is asked for."""
    request = model_request(registry, spec)
    return replace(request, dtype=patch.manifest.model.dtype) if patch and spec.dtype == "auto" else request


def _failing_under(
    registry: Registry, spec: JobSpec, protocols: Sequence[ReadyProtocol], environment: Environment
) -> ReadyProtocol | None:
    """Return the protocol of the failure filter: from this call, or else from the registry."""
    if not spec.only_failures:
        return None
    for protocol in protocols:
        if spec.only_failures in (protocol.name, protocol.definition.variant_of):
            return protocol
    other = make_protocol(registry, registry.find_protocol(spec.only_failures).offer)
    prepare(_distinct([other.metrics]), environment)
    return other


def _distinct(metrics: Iterable[Metrics]) -> list[Metric]:
    found = [metric for kinds in metrics for labelled in kinds.values() for _, metric in labelled]
    return list({id(metric): metric for metric in found}.values())
