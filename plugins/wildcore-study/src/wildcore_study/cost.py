"""What is left of a study: edits, answers, time by what was measured, and room on the disk."""

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from wildcore import FrozenData, Option, Place, UserError
from wildcore_study.folder import StudyFolder
from wildcore_study.planning import StudyPlan, StudyRun

BYTES_AN_ANSWER = 4000
"""Room for an answer with its prompt and scores, where none was measured: about twice that of QAEdit under ``wild``."""

Kind = tuple[str, str, str, int]
"""What the time of a case depends on: model, editor, schedule, number of protocols."""


class Remaining(FrozenData):
    """What is left of one run. ``seconds`` None: no run of its kind was measured. ``answers`` counts those of the edited model;
    the unedited model gives as many, once for all runs with its questions.
    """

    run: StudyRun
    protocols: tuple[str, ...]
    state: str
    reason: str = ""
    edits: int = 0
    answers: int = 0
    seconds: float | None = None


class Cost(FrozenData):
    """What is left of a study, over its runs. ``unknown`` is the number of runs whose time is not known."""

    edits: int
    answers: int
    seconds: float
    unknown: int
    bytes: int


def remaining(study: StudyFolder, plan: StudyPlan) -> list[Remaining]:
    """Return for each run of a plan what is left of it: its state is finished, being made, set aside, begun or missing."""
    finished, paces = study.finished_cells(), measured_paces(study)
    return [_remaining(study, run, tuple(study.missing(run, finished)), paces) for run in plan.runs]


def _remaining(study: StudyFolder, run: StudyRun, missing: tuple[str, ...], paces: Mapping[Kind, float]) -> Remaining:
    if not missing:
        return Remaining(run=run, protocols=(), state="finished")
    attempts = study.attempts(run)
    reason = attempts.set_aside_because()
    if attempts.is_being_made():
        state = "being made"
    elif reason is not None:
        state = "set aside"
    else:
        state = "begun" if study.unfinished(run) else "missing"
    pace = paces.get(kind_of(run, len(missing)))
    return Remaining(
        run=run,
        protocols=missing,
        state=state,
        reason=reason or "",
        edits=run.cases,
        answers=run.probes * len(missing),
        seconds=None if pace is None else pace * run.cases,
    )


def kind_of(run: StudyRun, protocols: int) -> Kind:
    """Return what the time of a run's cases depends on."""
    return run.model, run.spec.editor, run.spec.schedule, protocols


def measured_paces(study: StudyFolder) -> dict[Kind, float]:
    """Return the seconds a case by the kind of run, over the finished attempts of all studies in the folder."""
    seconds: dict[Kind, float] = defaultdict(float)
    cases: dict[Kind, int] = defaultdict(int)
    runs = {run.id: run for plan in study.plans().values() for run in plan.runs} if study.studies.is_dir() else {}
    for run in runs.values():
        for attempt in study.attempts(run).all():
            if attempt.outcome is not None and attempt.outcome.ending == "finished" and attempt.outcome.cases:
                kind = kind_of(run, attempt.outcome.protocols or len(run.cells))
                seconds[kind] += attempt.outcome.seconds
                cases[kind] += attempt.outcome.cases
    return {kind: seconds[kind] / cases[kind] for kind in seconds}


def total(left: Sequence[Remaining]) -> Cost:
    """Return what is left of a study."""
    known = [one.seconds for one in left if one.seconds is not None]
    return Cost(
        edits=sum(one.edits for one in left),
        answers=sum(one.answers for one in left),
        seconds=sum(known),
        unknown=sum(one.state != "finished" and one.seconds is None for one in left),
        bytes=sum(one.answers for one in left) * BYTES_AN_ANSWER,
    )


def require_room(folder: Path, cost: Cost) -> None:
    """Raise ``UserError`` if the disk has less room than the answers that are left will need."""
    place = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    if free < cost.bytes:
        raise UserError(
            f"{cost.answers:,} answers need about {cost.bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            Place(folder),
            ("make room, choose fewer cases, or another folder with ", Option("out")),
        )


def require_time(cost: Cost, hours: float | None, devices: int) -> None:
    """Raise ``UserError`` if the time that is known takes more than ``hours`` on this number of devices (None: no bound)."""
    if hours is not None and cost.seconds / devices > hours * 3600:
        raise UserError(
            f"what is left takes about {cost.seconds / devices / 3600:.1f} hours on {devices} devices",
            Option("hours", hours),
            "choose fewer cases, or allow more hours",
        )


def in_words(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
