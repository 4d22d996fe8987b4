"""Makes the runs of a study one after another, on a model that stays loaded between runs that share it."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, chdir, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from wildcore import Option, UserError
from wildcore.jobs.build import model_request
from wildcore.jobs.whole_runs import PlannedRun, begin_run, on_device_of, plan_run, resume_run
from wildcore.models.fingerprints import hash_of_weights
from wildcore.models.loading import load_model
from wildcore.records.provenance import hardware
from wildcore.records.run_folder import RunFolder
from wildcore.registry import load_registry
from wildcore.reporting.console import Reporter
from wildcore_study.attempts import Claim, Outcome
from wildcore_study.devices import kind_of_device
from wildcore_study.planning import StudyRun, digest, of_protocols
from wildcore_study.queue import StudyQueue

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel


class StudyWorker:
    """A worker for one device. Its registry has the protocols of the plan."""

    def __init__(self, queue: StudyQueue, device: str, quiet: bool = False) -> None:
        self.queue = queue
        self.device = device
        self.reporter = Reporter(quiet)
        self.registry = load_registry()
        self.registry.add_protocols(
            {one.name: one for run in queue.plan.runs for one in run.spec.own_protocols}.values()
        )
        self.model: LoadedModel | None = None
        self.loaded = ""

    def load(self, cell: str) -> str:
        """Load the model of a run unless it is loaded, and return a hash of its weights as they are now."""
        with self._in_directory():
            return hash_of_weights(self._model_of(self.queue.plan.run(cell)).network)

    def run(self, cell: str) -> bool:
        """Make what is missing of a run, and return whether this call finished it."""
        run, study = self.queue.plan.run(cell), self.queue.study
        with self._in_directory(), study.attempts(run).claim() as claim:
            if claim is None:
                return False
            missing = study.missing(run)
            if not missing:
                claim.record(Outcome(ending="interrupted", reason="another worker had finished it"))
                return False
            return self._attempt(run, claim, len(missing))

    def close(self) -> None:
        """Free the model."""
        self.model = None
        self.loaded = ""

    def _attempt(self, run: StudyRun, claim: Claim, protocols: int) -> bool:
        begun, self.reporter.notes[:] = time.monotonic(), []
        self.reporter.line(f"Run {run.id}: {run.description}")
        try:
            cases = self._make(run, claim)
        except UserError as error:
            self._say_failure(claim, "refused", str(error))
            return False
        except Exception as error:
            self._say_failure(claim, "failed", f"{type(error).__name__}: {error}")
            return False
        seconds = time.monotonic() - begun
        if cases is None:
            claim.record(Outcome(ending="interrupted", reason="another worker took the run", seconds=seconds))
            return False
        claim.record(Outcome(ending="finished", seconds=seconds, cases=cases, protocols=protocols))
        self.reporter.line(f"Run {run.id}: finished in {seconds:.0f} s")
        return True

    def _say_failure(self, claim: Claim, ending: str, reason: str) -> None:
        claim.record(Outcome.model_validate({"ending": ending, "reason": reason}))
        self.reporter.line(f"Run {claim.path.parent.name}: {reason}")

    def _make(self, run: StudyRun, claim: Claim) -> int | None:
        """Resume the half-written folders of a run, and make what is then missing. Returns the number of cases evaluated, or
        None if another worker took the run.
        """
        study, cases = self.queue.study, 0
        require_unchanged(run, plan_run(self.registry, run.spec, self.reporter))
        model = self._model_of(run)
        for folder in study.unfinished(run):
            require_same_device(folder, model)
            cases += self._resume(folder, model)
            if claim.is_lost():
                return None
            study.publish(folder)
        missing = study.missing(run)
        if missing:
            folder = study.new_folder(run, missing)
            cases += self._begin(run, missing, folder, model)
            if claim.is_lost():
                return None
            study.publish(folder)
        if missing := study.missing(run):  # otherwise it would be tried for ever
            raise RuntimeError(f"the run was made, and its results under {', '.join(missing)} are not found")
        return cases

    def _resume(self, folder: Path, model: "LoadedModel") -> int:
        left = _cases_left(folder)
        resume_run(self.registry, folder, model, self.reporter)
        return left

    def _begin(self, run: StudyRun, protocols: Sequence[str], folder: Path, model: "LoadedModel") -> int:
        spec = on_device_of(of_protocols(run.spec, protocols), model)
        return begin_run(self.registry, spec, folder, model, self.reporter).manifest.case_count

    def _in_directory(self) -> AbstractContextManager[None]:
        """Return a context in the folder in which the study was started, if this machine has it."""
        directory = Path(self.queue.plan.directory)
        return chdir(directory) if directory.is_dir() else nullcontext()

    def _model_of(self, run: StudyRun) -> "LoadedModel":
        if self.model is None or self.loaded != run.model:
            self.close()
            spec = run.spec.model_copy(update={"device": self.device})
            self.reporter.line(f"Loading {spec.model}")
            self.model = load_model(model_request(self.registry, spec), self.registry.families)
            self.loaded = run.model
        return self.model


def require_unchanged(run: StudyRun, planned: PlannedRun) -> None:
    """Raise ``UserError`` if a run that is planned now has another id: its results would be filed under the wrong one."""
    if digest(planned.identity) != run.id:
        raise UserError(
            "the model, the data or the code that it depends on changed since the study was planned",
            about=f"run {run.id}",
            way_out="start the study again, which plans it anew",
        )


def require_same_device(folder: Path, model: "LoadedModel") -> None:
    """Raise ``UserError`` if a half-written run was begun on another kind of device: results of two kinds are never pooled."""
    begun, here = kind_of_device(RunFolder.open(folder).manifest.hardware), kind_of_device(hardware(model))
    if begun != here:
        raise UserError(
            f"the run was begun on {begun}, and this device is {here}",
            about=f"run {folder.name}",
            way_out=(
                "resume it on a device of that kind with ",
                Option("retry", True),
                ", or begin it again with ",
                Option("discard_unfinished", True),
            ),
        )


def _cases_left(folder: Path) -> int:
    run = RunFolder.open(folder)
    return max(0, run.manifest.case_count - sum(1 for _ in run.cases()))
