"""One call of the main job: its model is opened and its cases are chosen, then each run is carried out in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from wildcore.datasets.selection import content_hash, require_some
from wildcore.equivalence import canonical
from wildcore.errors import Message, Option, Refused, UserError
from wildcore.evaluation.checkpoints import SequenceState
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.failure_filter import FailureCount, FailureFilter
from wildcore.evaluation.group_size import AUTO, group_size
from wildcore.evaluation.judging import JudgeAt, JudgingPoint
from wildcore.evaluation.measuring import ModelMeasurer
from wildcore.evaluation.refusals import RefusalWatch
from wildcore.evaluation.schedules import Schedule
from wildcore.evaluation.sequences import SequenceRunner
from wildcore.evaluation.single import run
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.interfaces import RESOURCES, Editor, Patch
from wildcore.jobs.build import MadeEditor, pin_resources, read_back, with_later_parameters
from wildcore.jobs.chat import clock_of, thinking_switch, thoughts_note
from wildcore.jobs.eval_plan import EvaluationPlan
from wildcore.jobs.hard_locality import add_hard_probes, written_by_patch
from wildcore.jobs.resume import require_same, without_resources
from wildcore.jobs.score import score
from wildcore.jobs.session import Session, open_session
from wildcore.jobs.spec import JobSpec
from wildcore.jobs.tracking import RunFeed
from wildcore.models.finiteness import require_finite_logits
from wildcore.models.loaded import LoadedModel
from wildcore.patches.files import PatchFile, require_same_model
from wildcore.protocols import Metrics
from wildcore.records import provenance
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import WITH_JUDGING_POINTS, CaseRecord, InvocationRecord, Manifest
from wildcore.records.trace_files import FOLDER as TRACES
from wildcore.registry import Registry
from wildcore.scoring.scores import score_case
from wildcore.scoring.summary import summary
from wildcore.scripts import SEPARATORS
from wildcore.types import EditCase, EditRequest, EvalProtocol


@dataclass
class Evaluation:
    """The runs of a plan, on a loaded model and the cases chosen for it.

    ``dataset`` is the description of the dataset and of the choice for the manifest. ``group_size`` is how many edits are solved
    and evaluated at once.
    """

    plan: EvaluationPlan
    session: Session
    examiner: Examiner
    cases: Sequence[EditCase]
    dataset: Mapping[str, Any]
    editors: dict[str, MadeEditor]
    group_size: int
    settled: set[str] = field(default_factory=set)
    noted: int = 0
    said_size: int = 0
    """The last group size that the user was told."""

    def create(self, spec: JobSpec, path: Path) -> RunFolder:
        """Create the folder of a run. Before the first, all editors of the call pin their resources
        (``Editor.pin_resources``)."""
        for name in self.editors:
            if name not in self.settled:
                self._settle(name)
        schedule = self.schedule(spec)
        cases = schedule.ordered(self.cases)
        manifest = Manifest(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            job=spec.model_dump(mode="json"),
            identity=self.identity(spec),
            protocols=tuple(protocol.definition for protocol in self.plan.protocols),
            case_count=len(self.cases),
            group_size=self.group_size,
            versions=provenance.versions(self.plan.registry),
            hardware=provenance.hardware(self.session.model),
            plugins=provenance.plugins(self.plan.registry),
            notes=tuple(self.plan.reporter.notes),
            case_ids=tuple(case.id for case in cases),
            journal_lines=schedule.evaluations(cases),
        )
        return RunFolder.create(path, manifest)

    def _settle(self, name: str, recorded: Mapping[str, Any] | None = None) -> None:
        editor, said = self.editors[name]
        self.editors[name] = (
            editor,
            said | pin_resources(editor, self.session.model, self.session.environment, recorded),
        )
        self.settled.add(name)

    def schedule(self, spec: JobSpec) -> Schedule:
        """Return the schedule of a run."""
        return Schedule.chosen(spec.schedule, spec.edits_per_update, len(self.cases), spec.judge_at, spec.edit_order)

    def identity(self, spec: JobSpec) -> dict[str, Any]:
        """Return everything that the answers of a run depend on, with every default resolved."""
        return {
            "model": provenance.model_identity(self.session.model),
            "dataset": self.dataset,
            "editor": self.editors[spec.editor][1],
            "protocols": {p.name: modules_of(p.definition) for p in self.plan.protocols},
            "schedule": self.schedule(spec).identity(),
            **({"clock": clock} if (clock := clock_of(self.plan.protocols, self.session.model)) else {}),
            **({"continuation": spec.continuation} if spec.continuation else {}),
            **(
                {"target_separator": {"prompts_without_space": without}}
                if (without := _without_space(self.cases))
                else {}
            ),
            "seed": spec.seed,
            "batch_size": spec.batch_size,
        }

    def check_same(self, spec: JobSpec, folder: RunFolder) -> None:
        """Raise ``UserError`` naming every difference between this call and the run to be resumed.

        If edits are left to be made, the editor must use the resources recorded for the run. A parameter that did not exist
        when the run was started must have its default, which behaves as before the parameter existed.
        """
        then = with_later_parameters(self.plan.registry, folder.manifest.identity)
        require_same(folder, without_resources(then), without_resources(self.identity(spec)))
        if self._unfinished(folder):
            self._settle(spec.editor, then["editor"].get(RESOURCES))
            require_same(folder, then, self.identity(spec))
        begun_with = folder.manifest.versions
        for name, version in provenance.versions(self.plan.registry).items():
            if begun_with.get(name) != version:
                self.plan.reporter.note(
                    f"the run was begun with {name} {begun_with.get(name)} and goes on with {version}"
                )

    def _unfinished(self, folder: RunFolder) -> bool:
        done = {record.case for record in folder.cases()}
        return any(case.id not in done for case in self.cases)

    def carry_out(self, spec: JobSpec, folder: RunFolder) -> None:
        """Run the remaining cases of a job, score the run, and write its summary.

        Raises ``AllRefused`` if the first edits are all refused for one reason; what has been recorded is kept.
        """
        with folder.locked(), self.plan.trackers.of_run(self._feed(spec, folder)) as feed:
            try:
                self._do_cases(spec, folder, feed)
                with self.plan.reporter.track("scoring", None):
                    score(self.plan.registry, folder, self.plan.metrics, self.plan.added)
            finally:
                for note in self.examiner.unedited.notes():
                    if note not in self.plan.reporter.notes:  # several runs share what is kept
                        self.plan.reporter.note(note)
                self._append_invocation(folder)
            found = summary(folder)
            folder.write_summary(found)
            feed.finish(found)

    def _feed(self, spec: JobSpec, folder: RunFolder) -> RunFeed:
        editor = self.editors[spec.editor][0]
        after_patch = len(editor.written) if isinstance(editor, FixedPatchEditor) else None
        return RunFeed(folder, self.plan.metrics, self.schedule(spec), self.cases, after_patch)

    def _append_invocation(self, folder: RunFolder) -> None:
        """Append the environment of this call, and its notes since the manifest was written, to the run."""
        known, noted = folder.manifest.notes, self.plan.reporter.notes[self.noted :]
        self.noted = len(self.plan.reporter.notes)
        record = InvocationRecord(
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=provenance.versions(self.plan.registry),
            hardware=provenance.hardware(self.session.model),
            notes=tuple(note for note in noted if note not in known),
        )
        folder.append_invocation(record)

    def _do_cases(self, spec: JobSpec, folder: RunFolder, feed: RunFeed) -> None:
        editor, schedule = self.editors[spec.editor][0], self.schedule(spec)
        size = folder.manifest.group_size if spec.parallel == AUTO else self.group_size
        if schedule.name == "single":
            finished = {record.case for record in folder.cases()}
            if any(case.id not in finished for case in self.cases):
                self._do_single_edits(folder, editor, size, finished, feed)
            if isinstance(editor, FixedPatchEditor) and self.plan.measurements:
                self._measure_patch(folder, editor)
        else:
            begun_with_points = folder.manifest.schema_number >= WITH_JUDGING_POINTS
            runner = SequenceRunner(
                editor,
                self.examiner,
                self.session.environment,
                folder,
                spec.editor,
                self.plan.reporter.line,
                on_judged=feed.judged,
                measurer=self._measurer() if schedule.name == "sequential" and begun_with_points else None,
                stop_when_collapsed=spec.stop_when_collapsed,
                save_every=spec.checkpoint_every,
            )
            once = schedule.judge_at.form in ("end", "each")
            if not once:
                runner.on_point = self._say_point
            runner.run(schedule, schedule.ordered(self.cases), self._say if once else _say_nothing, size)
        for remark in self.session.model.warnings:
            self.plan.reporter.note(remark)
        self._note_thoughts(folder)
        if self.session.environment.trace is not None and not (folder.path / TRACES).is_dir():
            self.plan.reporter.note((Option("trace"), f": {folder.manifest.job['editor']} recorded nothing"))

    def _note_thoughts(self, folder: RunFolder) -> None:
        """Say how many answers began with a thought, by protocol."""
        for protocol in self.plan.protocols:
            if protocol.asks_in_chat:
                probes = [probe for case in folder.cases() for probe in case.probes if probe.protocol == protocol.name]
                answers = [answer for probe in probes for answer in (*probe.before, *probe.after)]
                note = thoughts_note(protocol.name, answers, thinking_switch(self.session.model, protocol))
                if note:
                    self.plan.reporter.note(note)

    def _do_single_edits(
        self, folder: RunFolder, editor: Editor, group_size: int, finished: set[str], feed: RunFeed
    ) -> None:
        if group_size != self.said_size:
            self.plan.reporter.line(f"Making and evaluating {group_size} edits at once")
            self.said_size = group_size
        watch = RefusalWatch(len(self.cases))
        watch.remember(record.edit for record in folder.cases())
        with self.plan.reporter.track(folder.manifest.job["editor"], len(self.cases), len(finished)) as advance:

            def on_case(record: CaseRecord) -> None:
                self._say(record)
                feed.case(record)
                advance(1)
                watch.take(record.edit)

            after = len(editor.written) if isinstance(editor, FixedPatchEditor) else 1
            environment = self.session.environment
            run(editor, self.examiner, self.cases, environment, folder, on_case, group_size, finished, after)

    def _measure_patch(self, folder: RunFolder, editor: "FixedPatchEditor") -> None:
        """Measure the model without and under a patch that was made before, unless that is done."""
        known = {point.after_edits: point for point in folder.points()}
        measurer, after = self._measurer(), len(editor.written)
        if 0 in known and after in known:
            return
        if 0 in known:
            measurer.resume(known[0])
        else:
            folder.append_point(measurer.measure_unedited())
        if after not in known:
            written = SequenceState(0)
            written.patch.add(editor.patch)
            folder.append_point(measurer.measure(written, after, self.cases, list(folder.cases())))

    def _measurer(self) -> ModelMeasurer:
        return ModelMeasurer(self.session.model, self.plan.measurements, self.session.environment.progress)

    def _say_point(self, point: JudgingPoint[EditCase], records: Sequence[CaseRecord]) -> None:
        """Print the reliability at a judging point, under each protocol."""
        quick = {name: _quick(metrics) for name, metrics in self.plan.metrics.items()}
        values: dict[str, list[float]] = {}
        for record in records:
            for scored in score_case(record, quick):
                if scored.after is not None:
                    values.setdefault(scored.protocol, []).append(scored.after)
        listed = ", ".join(f"{protocol} {fmean(found):.3f}" for protocol, found in values.items())
        self.plan.reporter.line(
            f"  after {point.after_edits} of {len(self.cases)} edits: reliability {listed or 'not scored yet'}"
        )

    def _say(self, record: CaseRecord) -> None:
        """Show the case that was finished last."""
        self.plan.reporter.latest(self._in_a_line(record))

    def _in_a_line(self, record: CaseRecord) -> str:
        edit = f"{record.request.prompt} -> {record.request.target}"
        if record.edit.status == "refused":
            return f"{edit}: refused: {record.edit.reason}"
        quick = {name: _quick(metrics) for name, metrics in self.plan.metrics.items()}
        scores = [scored for scored in score_case(record, quick) if scored.after is not None]
        return f"{edit}: " + ", ".join(f"{scored.protocol} {scored.after:.2f}" for scored in scores)


def open_evaluation(
    plan: EvaluationPlan, loaded: LoadedModel | None = None, resumed: RunFolder | None = None
) -> Evaluation:
    """Load the plan's model, unless it is ``loaded`` already, and choose the cases.

    Chat templates that read the clock are given the time at which the run was started, which is recorded in ``resumed``.
    Raises ``UserError`` for a model that cannot be loaded or does not suit the plan, and if there is nothing to edit.
    """
    spec = plan.spec
    session = open_session(plan.registry, plan.request, plan.environment, plan.protocols, loaded)
    model, editors = session.model, dict(plan.editors)
    model.clock = _clock(resumed) or plan.environment.clock
    if plan.patch is not None:
        editors[spec.editor] = _given(plan.registry, plan.patch, model)
        if plan.patch.note:
            plan.reporter.note(plan.patch.note)
    model.max_batch_size = spec.batch_size
    size = group_size(spec.parallel, model)
    unedited = UneditedAnswers(session.environment.cache, model)
    examiner = Examiner(model, plan.protocols, unedited, spec.continuation, progress=plan.reporter)
    cases, dataset = _chosen_cases(plan, examiner)
    require_finite_logits(model, [case.request.prompt for case in cases])
    if spec.target_separator == "auto" and (note := _separator_note(cases)):
        plan.reporter.note(note)
    if beyond := JudgeAt.parse(spec.judge_at).beyond(len(cases)):
        listed = ", ".join(map(str, beyond))
        plan.reporter.note((Option("judge_at", spec.judge_at), f": {len(cases)} edits do not reach {listed}, left out"))
    return Evaluation(plan, session, examiner, cases, dataset, editors, size)


def _clock(resumed: RunFolder | None) -> datetime | None:
    """Return the time recorded in a resumed run for its chat template. None: there is none."""
    recorded = resumed.manifest.identity.get("clock") if resumed else None
    return datetime.fromisoformat(recorded) if isinstance(recorded, str) else None


def _given(registry: Registry, file: PatchFile, model: LoadedModel) -> MadeEditor:
    """Return an editor whose only patch is that of a file, and its description for the manifest."""
    manifest = file.manifest
    require_same_model(file.path, manifest, model)
    patch = read_back(registry, file, model)
    said = {"file": file.path.name, "sha256": file.digest, "requests": len(manifest.requests), "seed": manifest.seed}
    return FixedPatchEditor(patch, manifest.requests), {**manifest.editor, "patch": said}


def _chosen_cases(plan: EvaluationPlan, examiner: Examiner) -> tuple[list[EditCase], dict[str, Any]]:
    """Return the cases to run, and the description of the dataset and of the choice for the manifest."""
    filtered: dict[str, Any] = {}
    if plan.failing_under is None:
        cases = list(plan.candidates)
    else:
        cases, count = _failing(plan, FailureFilter(examiner.unedited, plan.failing_under))
        filtered = {"failures": count.model_dump()}
    for note in plan.reader.notes():
        plan.reporter.note(note)
    chosen = plan.reader.facts() | {"cases": len(cases), "hash": content_hash(cases)}
    described = {**plan.dataset, **filtered, **chosen}
    cases = require_some(plan.reader.name, cases)
    return _with_hard_probes(plan, cases, described) if plan.spec.hard_locality else (cases, described)


def _with_hard_probes(
    plan: EvaluationPlan, cases: Sequence[EditCase], described: Mapping[str, Any]
) -> tuple[list[EditCase], dict[str, Any]]:
    """Return the cases with their probes of hard locality, and the description of the dataset with these."""
    spec = plan.spec
    edited = [] if spec.schedule == "single" and plan.patch is None else list(cases)
    if plan.patch is not None:
        edited += written_by_patch(plan.patch.manifest.requests)
    found = add_hard_probes(spec, plan.reader, cases, edited, SEPARATORS[spec.target_separator])
    for note in found.notes:
        plan.reporter.note(note)
    return found.cases, {**described, "hard_locality": found.description}


def _failing(plan: EvaluationPlan, failures: FailureFilter) -> tuple[list[EditCase], FailureCount]:
    """Return the cases that the unedited model gets wrong, and how many were asked. Raises ``UserError`` if there are none."""
    count = failures.take(plan.candidates, plan.reader.wanted, plan.reporter)
    plan.reporter.note(str(count))
    if not count.kept:
        problem = f"the unedited model gets none of {count.asked} cases wrong; nothing to edit"
        raise UserError(problem, about=Option("only_failures"))
    return failures.kept, count


def _without_space(cases: Sequence[EditCase]) -> int:
    """Count the prompts, of edits and of probes, that an answer follows without a space."""
    return sum((case.request.separator == "") + sum(probe.separator == "" for probe in case.probes) for case in cases)


def _separator_note(cases: Sequence[EditCase]) -> Message | None:
    """Return a note that no space stands before some targets because of the script of their prompts."""
    count = sum(case.request.separator == "" for case in cases)
    if not count:
        return None
    return (
        f"no space is put before the target of {count} of {len(cases)} edit prompts, whose script has none between words; ",
        Option("target_separator", "space"),
        " puts one",
    )


def _say_nothing(record: CaseRecord) -> None:
    """Say nothing of a case that is evaluated at several judging points."""


def _quick(metrics: Metrics) -> Metrics:
    """Return the first metric of reliability that is cheap enough to use edit by edit."""
    return {"reliability": tuple(pair for pair in metrics.get("reliability", ()) if not pair[1].expensive)[:1]}


def modules_of(definition: EvalProtocol) -> Mapping[str, Any]:
    """Return the modules of a protocol as they are recorded."""
    return definition.model_dump(mode="json", include={"context", "generator", "truncator", "metrics"})


def _fact(request: EditRequest) -> tuple[str, str]:
    return canonical(request.prompt), canonical(request.target)


class FixedPatchEditor(Editor):
    """Makes edits with an existing patch: every fact that the patch writes, and no other."""

    def __init__(self, patch: Patch, requests: Sequence[EditRequest]) -> None:
        self.patch = patch
        self.written = {_fact(request) for request in requests}

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a fact that the patch does not write."""
        if _fact(request) not in self.written:
            raise Refused("the patch does not write this fact")

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        """Return the patch. Raises ``Refused`` for a fact that it does not write."""
        for request in requests:
            self.check(model, request)
        return self.patch
