"""Prepares an editor for a model before its first run: trains its trained part, and computes what its edits share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wildcore.datasets.selection import require_some
from wildcore.errors import Option, UserError
from wildcore.interfaces import Progress
from wildcore.jobs.build import make_editor, make_reader, model_request
from wildcore.jobs.session import open_session
from wildcore.jobs.spec import CaseChoice, PrepareJob, Selection, names_used, refuse_unused_settings
from wildcore.models.loading import read_shape
from wildcore.registry import Registry
from wildcore.scripts import SEPARATORS
from wildcore.storage.artifacts import RecordingEnvironment
from wildcore.storage.cache import cache_folder
from wildcore.types import EditCase

OF_THE_DATASET = ("where", "limit", "sample", "sample_seed", "skip_malformed")


@dataclass(frozen=True)
class Prepared:
    """The file of an artifact that an editor uses. ``known``: an earlier call or run made it."""

    path: Path
    known: bool

    @property
    def kind(self) -> str:
        """The kind of the artifact."""
        return self.path.parent.name

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size


def prepare(registry: Registry, spec: PrepareJob, progress: Progress) -> list[Prepared]:
    """Train and prepare the editor of ``spec`` for its model; ``spec.dataset`` is None if no dataset is named.

    Raises ``UserError`` for bad input, such as a dataset for an editor without a trained part, or none for an editor with one.
    """
    refuse_unused_settings(spec.settings, names_used(registry, [spec.editor], spec.dataset))
    cases = _cases(registry, spec, spec.dataset, progress) if spec.dataset else []
    request = model_request(registry, spec)
    editor, _ = make_editor(registry, spec, read_shape(request, registry.families))
    _require_dataset(spec, editor.trains)
    environment = RecordingEnvironment(cache_folder(), spec.seed, progress)
    model = open_session(registry, request, environment).model
    if editor.trains:
        editor.train(model, environment, iter(cases))
    editor.prepare(model, environment)
    return _made(environment.asked)


def _require_dataset(spec: PrepareJob, trains: bool) -> None:
    if trains and not spec.dataset:
        way_out = ("name some with ", Option("dataset", "NAME"))
        raise UserError(f"editor {spec.editor} is trained on edit cases", way_out=way_out)
    if trains:
        return
    if spec.dataset:
        raise UserError(f"editor {spec.editor} trains nothing", Option("dataset", spec.dataset), "leave it out")
    for name in OF_THE_DATASET:
        if getattr(spec, name):
            problem = f"it chooses cases of a dataset, and editor {spec.editor} trains nothing"
            raise UserError(problem, Option(name), "leave it out")


def _cases(registry: Registry, spec: PrepareJob, dataset: str, progress: Progress) -> list[EditCase]:
    chosen = spec.model_dump(include={*Selection.model_fields, "settings"})
    reader, _ = make_reader(registry, CaseChoice(dataset=dataset, **chosen))
    cases = require_some(reader.name, reader.cases())
    for note in reader.notes():
        progress.note(note)
    return [case.with_separators(SEPARATORS[spec.target_separator]) for case in cases]


def _made(asked: Mapping[Path, bool]) -> list[Prepared]:
    """Return those of the requested files that exist now."""
    return [Prepared(path, known) for path, known in asked.items() if path.is_file()]
