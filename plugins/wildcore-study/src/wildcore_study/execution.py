"""Carries a study out: plans it, checks what it needs, and hands its runs to an executor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wildcore import FrozenData, Option, UserError, WaitingCell
from wildcore.interfaces import Executor
from wildcore.jobs.build import make
from wildcore.jobs.whole_runs import fetch_weights
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter
from wildcore_study.cost import in_words, remaining, require_room, require_time, total
from wildcore_study.definition import GridPoint, Study
from wildcore_study.folder import StudyFolder, require_folder
from wildcore_study.planning import StudyPlan, plan_study
from wildcore_study.queue import StudyQueue


class Execution(FrozenData):
    """Where the runs of a study are made, and which of them."""

    executor: str = "local"
    devices: str = "auto"
    parameters: Mapping[str, Any] = {}
    retry: bool = False
    discard_unfinished: bool = False
    hours: float | None = None


def planned(
    registry: Registry, chosen: tuple[Study, Sequence[GridPoint]], out: Path, reporter: Reporter
) -> tuple[StudyFolder, StudyPlan]:
    """Return the study's folder and its plan. Nothing is written."""
    study, points = chosen
    return StudyFolder(out), plan_study(registry, study, points, reporter)


def execute(registry: Registry, folder: StudyFolder, plan: StudyPlan, execution: Execution, reporter: Reporter) -> None:
    """Make the runs that are missing. Raises ``UserError`` before the first edit if something that they need is not there."""
    devices = devices_of(execution.devices)
    executor = _executor(registry, execution)
    _free(folder, plan, execution)
    left = [one for one in remaining(folder, plan) if one.state in ("begun", "missing")]
    cost = total(left)
    require_room(folder.path, cost)
    require_time(cost, execution.hours, len(devices))
    for spec in {one.run.model: one.run.spec for one in left}.values():
        fetch_weights(registry, spec)
    queue = StudyQueue(folder.path.absolute(), folder.keep_plan(plan))
    if not left:
        return
    known = (
        f"about {in_words(cost.seconds / len(devices))}"
        if not cost.unknown
        else "time unknown until runs were measured"
    )
    reporter.line(f"{len(left)} runs, {cost.edits:,} edits, {cost.answers:,} answers, {known}; on {', '.join(devices)}")
    attempts = [folder.attempts(run) for run in plan.runs]
    before = [max((attempt.number for attempt in one.all()), default=0) for one in attempts]
    try:
        executor.execute(queue, devices, reporter)
    except KeyboardInterrupt:
        for one, last in zip(attempts, before, strict=True):
            one.record_interruption(last)
        raise


def work_through(path: Path, plan_name: str, device: str) -> bool:
    """Make waiting runs until none is left, and return whether one is set aside.

    A run that this worker could not take or finish comes last, so that it is not tried again and again.
    """
    queue = StudyQueue(require_folder(path).path.absolute(), plan_name)
    worker = queue.open_worker(device)
    tried: dict[str, int] = {}
    try:
        while cell := next_cell(queue.waiting(), tried):
            tried[cell.id] = tried.get(cell.id, 0) + 1
            worker.run(cell.id)
    finally:
        worker.close()
    return any(one.state == "set aside" for one in remaining(queue.study, queue.plan))


def next_cell(waiting: Sequence[WaitingCell], tried: Mapping[str, int]) -> WaitingCell | None:
    """Return the waiting run that was tried least often, of those the first. None: none is waiting."""
    return min(waiting, key=lambda cell: tried.get(cell.id, 0), default=None)


def devices_of(named: str) -> list[str]:
    """Return the devices of a list such as "cuda:0,cuda:1"; auto: every GPU, or else the CPU."""
    if named != "auto":
        found = [name.strip() for name in named.split(",") if name.strip()]
        if not found:
            raise UserError("names no device", about=Option("devices", named), way_out="such as cuda:0,cuda:1, or auto")
        return found
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def _executor(registry: Registry, execution: Execution) -> Executor:
    made: Executor = make(
        registry.find("executor", execution.executor),
        "executor",
        dict(execution.parameters),
    )[0]
    return made


def _free(folder: StudyFolder, plan: StudyPlan, execution: Execution) -> None:
    """Free runs that were set aside, or that are half-written, as far as that is asked for."""
    for run in plan.runs:
        attempts = folder.attempts(run)
        if execution.retry or execution.discard_unfinished:
            attempts.forgive()
        if execution.discard_unfinished and not attempts.is_being_made():
            for unfinished in folder.unfinished(run):
                folder.discard(unfinished)
