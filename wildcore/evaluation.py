"""One call of the main job: everything checked before the model is loaded, then each run carried out in its folder."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import platformdirs

from wildcore import provenance
from wildcore.assembly import JobSpec, load_cases, make_editor, model_request, ready_protocols
from wildcore.errors import UserError
from wildcore.interfaces import Editor, Environment, Progress
from wildcore.models import LoadedModel, load_model, read_shape
from wildcore.records import CaseRecord, Manifest, RunFolder, flat
from wildcore.registry import Registry
from wildcore.runner import Examiner, run
from wildcore.scoring import score_case, score_run, summary
from wildcore.types import EvalProtocol

CACHE_VARIABLE = "WILDCORE_CACHE"
SCHEDULE = {"edits": "single", "judged": "after each edit", "model": "put back after each edit"}


class Reporting(Progress, Protocol):
    """Progress that can also print a line of its own."""

    notes: list[str]

    def line(self, message: str) -> None:
        """Print a line."""
        ...


class Evaluation:
    """The runs of one call: one editor each, the same model, cases and protocols. Raises ``UserError`` for bad input."""

    def __init__(self, registry: Registry, specs: Sequence[JobSpec], reporter: Reporting) -> None:
        self.registry = registry
        self.reporter = reporter
        first = specs[0]
        self.protocols = ready_protocols(registry, first, [spec.editor for spec in specs])
        self.cases, self.dataset = load_cases(registry, first)
        request = model_request(registry, first)
        shape = read_shape(request, registry.families)
        self.editors: dict[str, tuple[Editor, dict[str, Any]]] = {
            spec.editor: make_editor(registry, spec, shape) for spec in specs
        }
        self.model: LoadedModel = load_model(request, registry.families)
        for note in self.model.notes:
            reporter.note(note)
        self.environment = Environment(cache_folder(), first.seed, reporter)
        self.examiner = Examiner(self.model, self.protocols, first.batch_size)

    def create(self, spec: JobSpec, path: Path) -> RunFolder:
        """Make the folder of a run."""
        manifest = Manifest(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            job=spec.model_dump(mode="json"),
            identity=self.identity(spec),
            protocols=tuple(protocol.definition for protocol in self.protocols),
            case_count=len(self.cases),
            versions=provenance.versions(self.registry),
            hardware=provenance.hardware(self.model),
            plugins=provenance.plugins(self.registry),
            notes=tuple(self.reporter.notes),
        )
        return RunFolder.create(path, manifest)

    def identity(self, spec: JobSpec) -> dict[str, Any]:
        """Return everything that the answers of a run depend on, resolved."""
        return {
            "model": provenance.model_identity(self.model),
            "dataset": self.dataset,
            "editor": self.editors[spec.editor][1],
            "protocols": {p.name: _modules(p.definition) for p in self.protocols},
            "schedule": SCHEDULE,
            "seed": spec.seed,
            "batch_size": spec.batch_size,
        }

    def check_same(self, spec: JobSpec, folder: RunFolder) -> None:
        """Raise ``UserError`` naming every difference between this call and the run to be resumed."""
        then, now = flat(folder.manifest.identity), flat(self.identity(spec))
        different = [
            f"{key} was {then.get(key)!r} and is now {now.get(key)!r}"
            for key in sorted(then.keys() | now.keys())
            if then.get(key) != now.get(key)
        ]
        if different:
            raise UserError(f"--resume {folder.path}: not the same run: {'; '.join(different)}")
        begun_with = folder.manifest.versions
        for name, version in provenance.versions(self.registry).items():
            if begun_with.get(name) != version:
                self.reporter.note(f"the run was begun with {name} {begun_with.get(name)} and goes on with {version}")

    def carry_out(self, folder: RunFolder) -> None:
        """Do what is left of a run, score it, and write its summary."""
        with folder.locked():
            self._do_cases(folder)
            self.reporter.line("Scoring")
            score_run(folder, self.protocols)
            folder.write_summary(summary(folder))

    def _do_cases(self, folder: RunFolder) -> None:
        done = {record.case for record in folder.cases()}
        left = [case for case in self.cases if case.id not in done]
        editor = self.editors[folder.manifest.job["editor"]][0]
        if not left:
            return
        with self.reporter.track(folder.manifest.job["editor"], len(self.cases)) as advance:
            advance(len(done))

            def on_case(record: CaseRecord) -> None:
                self.reporter.line(self._in_a_line(record))
                advance(1)

            run(editor, self.examiner, left, self.environment, folder, on_case)

    def _in_a_line(self, record: CaseRecord) -> str:
        edit = f"{record.request.prompt} -> {record.request.target}"
        if record.edit.status == "refused":
            return f"  {edit}: refused: {record.edit.reason}"
        by_name = {protocol.name: protocol for protocol in self.protocols}
        scores = [s for s in score_case(record, by_name) if s.kind == "reliability" and s.after is not None]
        return f"  {edit}: " + ", ".join(f"{score.protocol} {score.after:.2f}" for score in scores)


def cache_folder() -> Path:
    """Return where things that outlive a run are kept: $WILDCORE_CACHE, else the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("wildcore"))


def _modules(definition: EvalProtocol) -> Mapping[str, Any]:
    return definition.model_dump(mode="json", include={"context", "generator", "truncator", "metrics"})
