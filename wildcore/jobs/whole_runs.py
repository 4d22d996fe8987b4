"""Runs by their specification, for commands that carry out many: planned without the model's weights, begun, resumed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from wildcore.datasets.selection import content_hash
from wildcore.errors import Place, UserError
from wildcore.evaluation.refusals import AllRefused
from wildcore.evaluation.schedules import Schedule
from wildcore.jobs.build import model_request
from wildcore.jobs.eval import modules_of, open_evaluation
from wildcore.jobs.eval_plan import EvaluationPlan, Reporting, plan_evaluation
from wildcore.jobs.hard_locality import add_hard_probes
from wildcore.jobs.in_use import in_use
from wildcore.jobs.model_content import content_of_folder
from wildcore.jobs.resume import mended, with_later_fields
from wildcore.jobs.spec import JobSpec
from wildcore.jobs.tracking import Trackers
from wildcore.models.loading import find_files
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.scripts import SEPARATORS
from wildcore.storage.cache import cache_folder
from wildcore.types import EditCase, FrozenData

if TYPE_CHECKING:
    from wildcore.jobs.build import MadeEditor
    from wildcore.models.loaded import LoadedModel

OF_MODEL = ("revision", "dtype", "device", "device_map", "trust_remote_code", "merge_adapter")
"""Fields of a job that say how its model is loaded."""


class PlannedRun(FrozenData):
    """A run as far as it is known before its model is loaded.

    ``identity`` is everything that its answers depend on apart from how it asks, with every default resolved: equal
    identities give equal edits. ``protocols`` maps the name of each protocol to its modules. ``cases`` is the number of cases,
    or the most that there can be if ``is_filtered``: a failure filter, which asks the model, chooses among them. ``probes`` is
    the number of probes that the edited model is asked under each protocol, over all judging points.
    """

    identity: Mapping[str, Any]
    protocols: Mapping[str, Any]
    cases: int
    probes: int
    is_filtered: bool


def plan_run(registry: Registry, spec: JobSpec, reporter: Reporting) -> PlannedRun:
    """Return a run as planned. ``registry`` must offer the job's own protocols. Raises ``UserError`` for bad input."""
    plan = plan_evaluation(registry, [spec], reporter)
    candidates = list(plan.candidates)
    wanted = plan.reader.wanted
    used = candidates if wanted is None else candidates[:wanted]
    schedule = _schedule(spec, len(used))
    asked = _with_hard_probes(plan, schedule.ordered(used))
    return PlannedRun(
        identity=_identity(plan, candidates, asked),
        protocols={protocol.name: modules_of(protocol.definition) for protocol in plan.protocols},
        cases=len(used),
        probes=sum(
            len(case.probes)
            for updates in schedule.sequences(asked)
            for point in schedule.judging_points(updates)
            for case in point.cases
        ),
        is_filtered=plan.failing_under is not None,
    )


def _identity(plan: EvaluationPlan, candidates: list[EditCase], asked: list[EditCase]) -> dict[str, Any]:
    spec, failing = plan.spec, plan.failing_under
    files = find_files(plan.request, weights=False)
    folders = [files.folder, *([files.adapter.folder] if files.adapter else [])]
    return {
        "model": {
            "content": [content_of_folder(folder, cache_folder()) for folder in folders],
            **{name: getattr(spec, name) for name in OF_MODEL if name not in ("device", "revision")},
        },
        "dataset": {**plan.dataset, **plan.reader.facts(), "hash": content_hash(candidates)},
        "only_failures": None if failing is None else modules_of(failing.definition),
        "editor": plan.editors[spec.editor][1],
        "schedule": _schedule(spec, len(candidates)).identity(),
        "seed": spec.seed,
        "batch_size": spec.batch_size,
        "continuation": spec.continuation,
        "hard_locality": [spec.hard_locality, content_hash(asked)] if spec.hard_locality else None,
        "target_separator": spec.target_separator,
        "measurements": spec.measurements,
        "stop_when_collapsed": spec.stop_when_collapsed,
        "added_metrics": [one.module for one in plan.added],
    }


def _schedule(spec: JobSpec, case_count: int) -> Schedule:
    return Schedule.chosen(spec.schedule, spec.edits_per_update, case_count, spec.judge_at, spec.edit_order)


def _with_hard_probes(plan: EvaluationPlan, cases: list[EditCase]) -> list[EditCase]:
    """Return the cases with the probes of hard locality that the run will add."""
    spec = plan.spec
    if not spec.hard_locality:
        return cases
    edited = [] if spec.schedule == "single" else cases
    return add_hard_probes(spec, plan.reader, cases, edited, SEPARATORS[spec.target_separator]).cases


def fetch_weights(registry: Registry, spec: JobSpec) -> None:
    """Have the weights of a job's model on this machine. Raises ``UserError`` if they cannot be had."""
    find_files(model_request(registry, spec))


def begin_run(
    registry: Registry,
    spec: JobSpec,
    folder: Path,
    model: "LoadedModel",
    reporter: Reporting,
    own: "MadeEditor | None" = None,
    trackers: Trackers | None = None,
) -> RunFolder:
    """Carry a run out in the new ``folder``, on a model that is loaded already. ``own`` is its editor if no plugin offers it,
    and ``trackers`` are shown its numbers.

    Raises ``UserError`` for bad input, and if the run is stopped because its first edits are all refused.
    """
    with in_use(model, spec.batch_size):
        evaluation = open_evaluation(plan_evaluation(registry, [spec], reporter, model, own, trackers=trackers), model)
        run = evaluation.create(spec, folder)
        with _stopped_as_error(folder):
            evaluation.carry_out(spec, run)
    return run


def resume_run(registry: Registry, folder: Path, model: "LoadedModel", reporter: Reporting) -> RunFolder:
    """Carry out what is left of the run in ``folder``, on its model, which is loaded already.

    ``registry`` must offer the job's own protocols. Raises ``UserError`` if the run is not the same today, and if it is stopped
    because its first edits are all refused.
    """
    run = RunFolder.open(folder)
    spec = on_device_of(recorded_job(run), model)
    for note in mended(run):
        reporter.note(note)
    with in_use(model, spec.batch_size):
        plan = plan_evaluation(registry, [spec], reporter, model, started=run.started)
        evaluation = open_evaluation(plan, model, resumed=run)
        evaluation.check_same(spec, run)
        with _stopped_as_error(folder):
            evaluation.carry_out(spec, run)
    return run


def on_device_of(spec: JobSpec, model: "LoadedModel") -> JobSpec:
    """Return the job on the device of a loaded model."""
    return spec.model_copy(update={"device": model.request.device})


def recorded_job(run: RunFolder) -> JobSpec:
    """Return the job of a run. Raises ``UserError`` if this version does not understand it."""
    try:
        return JobSpec.model_validate(with_later_fields(run.manifest.job))
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        raise UserError(
            f"its manifest.json does not hold a job as this version writes it ({wrong})",
            about=Place(run.path),
            way_out="go on with the version that began it",
        ) from error


@contextmanager
def _stopped_as_error(folder: Path) -> Iterator[None]:
    """Turn the stop of a run whose first edits are all refused into a ``UserError``."""
    try:
        yield
    except AllRefused as stopped:
        raise UserError(f"stopped, because the first edits were all refused: {stopped}", Place(folder)) from stopped
