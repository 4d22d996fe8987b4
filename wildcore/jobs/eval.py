"""One call of the main job: everything is checked before the model is loaded, then each run is carried out in its folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from wildcore.datasets.selection import Reader, content_hash, require_some
from wildcore.errors import Refused, UserError
from wildcore.evaluation.checkpoints import read_patch_or_run
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.failure_filter import FailureFilter
from wildcore.evaluation.group_size import AUTO, edits_at_once
from wildcore.evaluation.refusals import RefusalWatch
from wildcore.evaluation.schedules import Schedule
from wildcore.evaluation.sequences import SequenceRunner
from wildcore.evaluation.single import run
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.interfaces import Editor, Environment, Metric, Patch, Progress
from wildcore.jobs.build import (
    TAKEN,
    choice_of,
    make_editor,
    make_reader,
    model_request,
    read_back,
    settled,
    with_later_parameters,
)
from wildcore.jobs.chat import chat_note
from wildcore.jobs.own_facts import NOTE, own_facts_reader
from wildcore.jobs.protocols import added_metrics, by_kind, make_protocol, ready_protocols
from wildcore.jobs.resume import require_same, without_taken
from wildcore.jobs.score import prepare, score
from wildcore.jobs.spec import JobSpec
from wildcore.models.loaded import LoadedModel
from wildcore.models.loading import load_model, read_shape
from wildcore.patches.files import PatchFile, require_made_for
from wildcore.protocols import Metrics, ReadyProtocol, with_added
from wildcore.records import provenance
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, Manifest, WorkRecord
from wildcore.records.trace_files import FOLDER as TRACES
from wildcore.registry import Registry
from wildcore.scoring.scores import score_case
from wildcore.storage.cache import cache_folder
from wildcore.trace import Trace
from wildcore.types import EditCase, EditRequest, EvalProtocol


class Reporting(Progress, Protocol):
    """Progress that can also print a line."""

    notes: list[str]

    def line(self, message: str) -> None:
        """Print a line."""
        ...


class Evaluation:
    """The runs of one call: one editor each, with the same model, cases and protocols. Raises ``UserError`` for bad input.

    ``model`` is the jobs' model, if it is loaded already. ``editor`` is the editor of a single job, with its description for
    the record, if no plugin offers it.
    """

    def __init__(
        self,
        registry: Registry,
        specs: Sequence[JobSpec],
        reporter: Reporting,
        model: LoadedModel | None = None,
        editor: tuple[Editor, dict[str, Any]] | None = None,
    ) -> None:
        self.registry = registry
        self.reporter = reporter
        first = specs[0]
        self.environment = Environment(cache_folder(), first.seed, reporter, Trace() if first.trace else None)
        file = read_patch_or_run(Path(first.patch)) if first.patch else None
        self.reader, self.dataset = self._reader(first, file)
        editors = [] if first.patch else [spec.editor for spec in specs]
        self.protocols = ready_protocols(registry, first, editors, self.reader)
        self.added = added_metrics(registry, first.added_metrics, first.settings)
        self.metrics = {p.name: with_added(p.metrics, by_kind(self.added)) for p in self.protocols}
        candidates = self._candidates(first)
        prepare(_distinct(self.metrics), self.environment)
        request = model_request(registry, first)
        if file and first.dtype == "auto":
            request = replace(request, dtype=file.manifest.model.dtype)
        shape = model.shape if model else read_shape(request, registry.families)
        self.editors: dict[str, tuple[Editor, dict[str, Any]]] = {
            spec.editor: editor or make_editor(registry, spec, shape) for spec in specs if not file
        }
        self.settled: set[str] = set()
        self.noted = 0
        self.model: LoadedModel = model or load_model(request, registry.families)
        if file:
            self.editors[first.editor] = self._given(file)
            if file.note:
                reporter.note(file.note)
        for note in (*self.model.notes, chat_note(registry, self.protocols, self.model)):
            if note:
                reporter.note(note)
        self.model.rows_at_once = first.batch_size
        self.automatic = first.parallel == AUTO
        self.together = edits_at_once(first.parallel, self.model)
        unedited = UneditedAnswers(self.environment.cache, self.model)
        self.examiner = Examiner(self.model, self.protocols, unedited, first.continuation)
        self.cases = require_some(self.reader.name, self._wanted(first, candidates))
        self.schedule = Schedule.chosen(first.schedule, first.edits_per_update, len(self.cases))

    def _reader(self, spec: JobSpec, file: PatchFile | None) -> tuple[Reader, dict[str, Any]]:
        if file is None or spec.dataset:
            return make_reader(self.registry, spec)
        self.reporter.note(NOTE)
        return own_facts_reader(file, choice_of(spec))

    def _given(self, file: PatchFile) -> tuple[Editor, dict[str, Any]]:
        """Return an editor that has only the patch of a file, and its description for the record."""
        manifest = file.manifest
        require_made_for(file.path, manifest, self.model)
        patch = read_back(self.registry, file, self.model)
        said = {
            "file": file.path.name,
            "sha256": file.digest,
            "requests": len(manifest.requests),
            "seed": manifest.seed,
        }
        return GivenPatch(patch, manifest.requests), {**manifest.editor, "patch": said}

    def _candidates(self, spec: JobSpec) -> Iterator[EditCase]:
        """Return the candidates for cases, read and checked as far as possible before the model is loaded."""
        if spec.only_failures:
            return self.reader.read_ahead()
        return iter(require_some(self.reader.name, self.reader.cases()))

    def _wanted(self, spec: JobSpec, candidates: Iterator[EditCase]) -> list[EditCase]:
        """Return the cases to run, and complete the dataset's description for the record."""
        cases = list(candidates) if not spec.only_failures else self._failing(spec.only_failures, candidates)
        self.dataset |= self.reader.facts() | {"cases": len(cases), "hash": content_hash(cases)}
        for note in self.reader.notes():
            self.reporter.note(note)
        return cases

    def _failing(self, protocol_name: str, candidates: Iterator[EditCase]) -> list[EditCase]:
        sift = FailureFilter(self.examiner.unedited, self._protocol(protocol_name))
        count = sift.take(candidates, self.reader.wanted, self.reporter)
        self.dataset |= {"failures": count.model_dump()}
        self.reporter.note(str(count))
        if not count.kept:
            raise UserError(
                f"--only-failures: the unedited model gets none of {count.asked} cases wrong; nothing to edit"
            )
        return sift.kept

    def _protocol(self, name: str) -> ReadyProtocol:
        """Return a protocol by name: from this call, or from the registry."""
        for protocol in self.protocols:
            if name in (protocol.name, protocol.definition.variant_of):
                return protocol
        other = make_protocol(self.registry, self.registry.find_protocol(name).offer)
        prepare(_distinct({name: other.metrics}), self.environment)
        return other

    def create(self, spec: JobSpec, path: Path) -> RunFolder:
        """Create the folder of a run. Before the first, all editors of the call pin their resources (``Editor.take``)."""
        for name in self.editors:
            if name not in self.settled:
                self._settle(name)
        manifest = Manifest(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            job=spec.model_dump(mode="json"),
            identity=self.identity(spec),
            protocols=tuple(protocol.definition for protocol in self.protocols),
            case_count=len(self.cases),
            edits_at_once=self.together,
            versions=provenance.versions(self.registry),
            hardware=provenance.hardware(self.model),
            plugins=provenance.plugins(self.registry),
            notes=tuple(self.reporter.notes),
        )
        return RunFolder.create(path, manifest)

    def _settle(self, name: str, recorded: Mapping[str, Any] | None = None) -> None:
        editor, said = self.editors[name]
        said |= settled(editor, self.model, self.environment, recorded)
        self.settled.add(name)

    def identity(self, spec: JobSpec) -> dict[str, Any]:
        """Return everything that the answers of a run depend on, with every default resolved."""
        return {
            "model": provenance.model_identity(self.model),
            "dataset": self.dataset,
            "editor": self.editors[spec.editor][1],
            "protocols": {p.name: _modules(p.definition) for p in self.protocols},
            "schedule": self.schedule.identity(),
            **({"continuation": spec.continuation} if spec.continuation else {}),
            "seed": spec.seed,
            "batch_size": spec.batch_size,
        }

    def check_same(self, spec: JobSpec, folder: RunFolder) -> None:
        """Raise ``UserError`` naming every difference between this call and the run to be resumed.

        If edits are left to be made, the editor must use the resources recorded for the run. A parameter that did not exist
        when the run was started must have its default, which behaves as before the parameter existed.
        """
        then = with_later_parameters(self.registry, folder.manifest.identity)
        require_same(folder, without_taken(then), without_taken(self.identity(spec)))
        if self._unfinished(folder):
            self._settle(spec.editor, then["editor"].get(TAKEN))
            require_same(folder, then, self.identity(spec))
        begun_with = folder.manifest.versions
        for name, version in provenance.versions(self.registry).items():
            if begun_with.get(name) != version:
                self.reporter.note(f"the run was begun with {name} {begun_with.get(name)} and goes on with {version}")

    def _unfinished(self, folder: RunFolder) -> bool:
        done = {record.case for record in folder.cases()}
        return any(case.id not in done for case in self.cases)

    def carry_out(self, folder: RunFolder) -> None:
        """Run the remaining cases, score the run, and write its summary.

        Raises ``AllRefused`` if the first edits are all refused for one reason; what has been recorded is kept.
        """
        with folder.locked():
            try:
                self._do_cases(folder)
                self.reporter.line("Scoring")
                with self.reporter.track("scoring", None):
                    score(self.registry, folder, self.metrics, self.added)
            finally:
                self._record_work(folder)

    def _record_work(self, folder: RunFolder) -> None:
        """Record the environment of this call, and its notes since the manifest was written."""
        known, noted = folder.manifest.notes, self.reporter.notes[self.noted :]
        self.noted = len(self.reporter.notes)
        record = WorkRecord(
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=provenance.versions(self.registry),
            hardware=provenance.hardware(self.model),
            notes=tuple(note for note in noted if note not in known),
        )
        folder.append_work(record)

    def _do_cases(self, folder: RunFolder) -> None:
        done = {record.case for record in folder.cases()}
        editor = self.editors[folder.manifest.job["editor"]][0]
        if all(case.id in done for case in self.cases):
            return
        together = folder.manifest.edits_at_once if self.automatic else self.together
        if self.schedule.name == "single":
            self._do_single_edits(folder, editor, together, done)
        else:
            runner = SequenceRunner(
                editor, self.examiner, self.environment, folder, folder.manifest.job["editor"], self.reporter.line
            )
            runner.run(self.schedule, self.cases, self._say, together, done)
        for remark in self.model.remarks:
            self.reporter.note(remark)
        if self.environment.trace is not None and not (folder.path / TRACES).is_dir():
            self.reporter.note(f"--trace: {folder.manifest.job['editor']} recorded nothing")

    def _do_single_edits(self, folder: RunFolder, editor: Editor, together: int, done: set[str]) -> None:
        self.reporter.line(f"Solving and judging {together} edits at once")
        watch = RefusalWatch(len(self.cases))
        watch.remember(record.edit for record in folder.cases())
        with self.reporter.track(folder.manifest.job["editor"], len(self.cases), len(done)) as advance:

            def on_case(record: CaseRecord) -> None:
                self._say(record)
                advance(1)
                watch.take(record.edit)

            run(editor, self.examiner, self.cases, self.environment, folder, on_case, together, done)

    def _say(self, record: CaseRecord) -> None:
        self.reporter.line(self._in_a_line(record))

    def _in_a_line(self, record: CaseRecord) -> str:
        edit = f"{record.request.prompt} -> {record.request.target}"
        if record.edit.status == "refused":
            return f"  {edit}: refused: {record.edit.reason}"
        quick = {name: _quick(metrics) for name, metrics in self.metrics.items()}
        scores = [scored for scored in score_case(record, quick) if scored.after is not None]
        return f"  {edit}: " + ", ".join(f"{scored.protocol} {scored.after:.2f}" for scored in scores)


def _distinct(metrics: Mapping[str, Metrics]) -> list[Metric]:
    found = [metric for kinds in metrics.values() for labelled in kinds.values() for _, metric in labelled]
    return list({id(metric): metric for metric in found}.values())


def _quick(metrics: Metrics) -> Metrics:
    """Return the first metric of reliability that is cheap enough to use edit by edit."""
    return {"reliability": tuple(pair for pair in metrics.get("reliability", ()) if not pair[1].expensive)[:1]}


def _modules(definition: EvalProtocol) -> Mapping[str, Any]:
    return definition.model_dump(mode="json", include={"context", "generator", "truncator", "metrics"})


class GivenPatch(Editor):
    """Makes edits with an existing patch: every fact that the patch writes, and no other."""

    def __init__(self, patch: Patch, requests: Sequence[EditRequest]) -> None:
        self.patch = patch
        self.written = {(request.prompt, request.target) for request in requests}

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a fact that the patch does not write."""
        if (request.prompt, request.target) not in self.written:
            raise Refused("the patch does not write this fact")

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        """Return the patch. Raises ``Refused`` for a fact that it does not write."""
        for request in requests:
            self.check(model, request)
        return self.patch
