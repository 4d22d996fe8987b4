"""From a study to its plan: one specification for each run, with ids that depend on everything its answers depend on."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import field_validator

from wildcore import EvalProtocol, Setting, UserError, suggestion
from wildcore.evaluation.schedules import require_fitting_schedule
from wildcore.jobs.build import chosen_measurements, filter_protocol, require_offered
from wildcore.jobs.eval_plan import Reporting
from wildcore.jobs.protocols import variant
from wildcore.jobs.resume import with_later_fields
from wildcore.jobs.spec import TRANSFORM_SEPARATOR, JobSpec, ProtocolChoice
from wildcore.jobs.whole_runs import PlannedRun, plan_run
from wildcore.registry import Registry
from wildcore.types import FrozenData
from wildcore_study.definition import GridPoint, ProtocolEntry, Study

ID_LENGTH = 16
OF_ONE_RUN = ("editor", "transform", "dataset")
"""Sections of settings that a run takes only if it uses the module that the setting names."""


class StudyRun(FrozenData):
    """One run of a study. ``id`` is a hash of everything that its edits depend on, ``model`` one of its model as loaded.

    ``cells`` maps each protocol to the id of its cell: a hash of the run's and of the protocol's modules. ``cases`` is the
    number of cases, or the most that there can be if ``is_filtered``; ``probes`` that of the probes that are asked under each
    protocol, over all judging points.
    """

    id: str
    model: str
    description: str
    spec: JobSpec
    cells: Mapping[str, str]
    cases: int
    probes: int
    is_filtered: bool

    @field_validator("spec", mode="before")
    @classmethod
    def _of_an_earlier_version(cls, spec: Any) -> Any:
        return with_later_fields(spec) if isinstance(spec, Mapping) else spec


class StudyPlan(FrozenData):
    """All runs of a study. ``layout`` is the preset that arranges its tables (None: by protocol). ``directory`` is the folder in
    which the study was started: relative places of models and data are in it.
    """

    title: str
    layout: str | None
    directory: str = "."
    runs: tuple[StudyRun, ...]

    def run(self, run_id: str) -> StudyRun:
        """Return the run with the id ``run_id``."""
        return next(run for run in self.runs if run.id == run_id)


@dataclass(frozen=True)
class Problem:
    """What stands in the way of a run."""

    description: str
    problem: str


def plan_study(
    registry: Registry, study: Study, points: Sequence[GridPoint], reporter: Reporting, device: str = "auto"
) -> StudyPlan:
    """Return the plan of a study with a run for each of ``points``. Own protocols of the study are added to ``registry``.

    Raises ``UserError`` that names every run which cannot be made, with the reason, and a setting that no run uses.
    """
    protocols = own_protocols(registry, study.protocols)
    registry.add_protocols(protocols)
    settings = SharedSettings(registry, study)
    planned: dict[str, StudyRun] = {}
    problems: list[Problem] = []
    with reporter.track("planning", len(points)) as advance:
        for point in points:
            try:
                spec = job_of(registry, study, point, protocols, settings, device)
                run = study_run(spec, plan_run(registry, spec, reporter))
                planned.setdefault(run.id, run)
            except UserError as error:
                problems.append(Problem(describe(point), str(error)))
            advance(1)
    settings.require_all_used()
    if problems:
        raise UserError(_listed(problems))
    return StudyPlan(title=study.title, layout=study.layout, directory=str(Path.cwd()), runs=tuple(planned.values()))


def study_run(spec: JobSpec, planned: PlannedRun) -> StudyRun:
    """Return a planned run with its ids."""
    run_id = digest(planned.identity)
    return StudyRun(
        id=run_id,
        model=digest(planned.identity["model"]),
        description=_in_words(spec, planned),
        spec=spec,
        cells={name: cell_id(run_id, name, modules) for name, modules in planned.protocols.items()},
        cases=planned.cases,
        probes=planned.probes,
        is_filtered=planned.is_filtered,
    )


def cell_id(run_id: str, protocol: str, modules: Mapping[str, Any]) -> str:
    """Return the id of a cell: a run under one protocol, with the modules that the protocol has."""
    return digest([run_id, protocol, modules])


def digest(value: Any) -> str:
    """Return a hash of a JSON value that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | set | frozenset):
        return sorted(value) if not isinstance(value, tuple) else list(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no stable form in JSON")


def own_protocols(registry: Registry, entries: Sequence[ProtocolEntry]) -> tuple[EvalProtocol, ...]:
    """Return the protocols that the study changes, each under its own name. Raises ``UserError`` for a name given twice."""
    names = [entry.own_name if entry.is_changed else entry.protocol for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two protocols of the study are called {name!r}", way_out="give one of them another name")
    return tuple(_changed(registry, entry) for entry in entries if entry.is_changed)


def _changed(registry: Registry, entry: ProtocolEntry) -> EvalProtocol:
    choice = ProtocolChoice(
        protocols=(entry.protocol,),
        context=entry.context,
        generator=entry.generator,
        truncator=entry.truncator,
        metrics=entry.metrics,
        settings=dict(entry.parameters),
    )
    made = variant(registry, registry.find_protocol(entry.protocol), choice).stated
    differences = "; ".join(made.differences) or "nothing changed"
    return made.model_copy(
        update={
            "name": entry.own_name,
            "summary": f"{entry.protocol} with {differences}",
            "variant_of": None,
            "differences": (),
        }
    )


class SharedSettings:
    """The settings that a study has for all its runs, and which of them were used."""

    def __init__(self, registry: Registry, study: Study) -> None:
        """Raises ``UserError`` for a setting of a part that belongs to a protocol."""
        self.registry = registry
        self.settings = study.settings
        self.named: dict[str, set[str]] = {section: set() for section in OF_ONE_RUN}
        self.unused = {key for key in study.settings if key.split(".")[0] in OF_ONE_RUN and key.count(".") == 2}
        for key in study.settings:
            if key.split(".")[0] in ("context", "generator", "truncator"):
                raise UserError(
                    "it belongs to a protocol", Setting(key), "write it in the parameters of a protocol of the study"
                )

    def fitting(self, editor: str, dataset: str) -> dict[str, Any]:
        """Return the settings of a run: those of other editors, transforms and datasets are left out."""
        first, *transforms = editor.split(TRANSFORM_SEPARATOR)
        named = {
            "editor": self.registry.names("editor", first),
            "transform": {one for name in transforms for one in self.registry.names("transform", name)},
            "dataset": self.registry.names("dataset", dataset),
        }
        for section, names in named.items():
            self.named[section].update(names)
        found = {}
        for key, value in self.settings.items():
            section, *rest = key.split(".")
            if section in OF_ONE_RUN and len(rest) == 2 and rest[0] not in named[section]:
                continue
            found[key] = value
            self.unused.discard(key)
        return found

    def require_all_used(self) -> None:
        """Raise ``UserError`` for a setting whose module no run uses."""
        for key in sorted(self.unused):
            section, name, _ = key.split(".")
            raise UserError(
                f"no run of the study uses the {section} {name!r}",
                Setting(key),
                suggestion(name, sorted(self.named[section])),
            )


def job_of(
    registry: Registry,
    study: Study,
    point: GridPoint,
    protocols: Sequence[EvalProtocol],
    shared: SharedSettings,
    device: str,
) -> JobSpec:
    """Return the specification of a run. Raises ``UserError`` for names that are not offered, and for parts that do not fit."""
    model, editor, data, schedule = point.model, point.editor, point.dataset, point.schedule
    names = tuple(entry.own_name if entry.is_changed else entry.protocol for entry in study.protocols)
    own = {f"editor.{key}": value for key, value in editor.parameters.items()}
    own |= {f"transform.{key}": value for key, value in editor.transform.items()}
    own |= {f"dataset.{key}": value for key, value in data.parameters.items()}
    limit, sample = data.limit, data.sample
    if limit is None and sample is None:
        limit, sample = study.limit, study.sample
    require_fitting_schedule(schedule.schedule, schedule.edits_per_update, None, schedule.judge_at, point.order)
    measured = chosen_measurements(registry, schedule.schedule, schedule.judge_at, schedule.measurements)
    spec = JobSpec(  # the entries have the names of its fields
        **model.model_dump(exclude={"batch_size"}),
        **editor.model_dump(exclude={"parameters", "transform"}),
        **data.model_dump(exclude={"parameters", "limit", "sample"}),
        **schedule.model_dump(exclude={"measurements"}),
        device=device,
        batch_size=model.batch_size or study.batch_size,
        limit=limit,
        sample=sample,
        sample_seed=study.sample_seed,
        seed=point.seed,
        edit_order=point.order,
        settings={**shared.fitting(editor.editor, data.dataset), **own},
        protocols=names,
        own_protocols=tuple(protocols),
        added_metrics=study.added_metrics,
        only_failures=filter_protocol(study.only_failures, names),
        measurements=measured,
        continuation=study.continuation,
    )
    require_offered(registry, spec)
    return spec


def of_protocols(spec: JobSpec, names: Sequence[str]) -> JobSpec:
    """Return the job with only the protocols called ``names``."""
    kept = tuple(one for one in spec.own_protocols if one.name in (*names, spec.only_failures))
    return spec.model_copy(update={"protocols": tuple(names), "own_protocols": kept})


def describe(point: GridPoint) -> str:
    """Return what a run combines, in one line."""
    parts = [point.editor.editor, f"on {point.dataset.dataset}", f"with {point.model.model}", point.schedule.schedule]
    return ", ".join(parts)


def _in_words(spec: JobSpec, planned: PlannedRun) -> str:
    cases = f"{'at most ' if planned.is_filtered else ''}{planned.cases:,} cases"
    schedule = "single edits" if spec.schedule == "single" else spec.schedule
    size = f", {spec.edits_per_update} edits an update" if spec.edits_per_update else ""
    own = {key: value for key, value in spec.settings.items() if key.split(".")[0] in ("editor", "transform")}
    parameters = "".join(f", {key.rpartition('.')[2]}={value}" for key, value in own.items())
    varied = (
        (f", seed {spec.seed}" if spec.seed else "")
        + (f", sample seed {spec.sample_seed}" if spec.sample_seed else "")
        + ("" if spec.edit_order is None else f", order {spec.edit_order}")
    )
    return f"{spec.editor}{parameters} on {spec.dataset}, {cases}, {schedule}{size}{varied}, {spec.model}"


def _listed(problems: Sequence[Problem]) -> str:
    """Return one message for all problems; equal ones are named once, with the number of runs."""
    grouped: dict[str, list[str]] = {}
    for one in problems:
        grouped.setdefault(one.problem, []).append(one.description)
    lines = list(_lines(grouped))
    return "the study cannot be run:\n" + "\n".join(f"  {line}" for line in lines)


def _lines(grouped: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for problem, runs in grouped.items():
        more = f" and {len(runs) - 1} more runs" if len(runs) > 1 else ""
        yield f"{runs[0]}{more}: {problem}"
