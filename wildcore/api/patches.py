"""Writes facts into a model: the result is a patch, and the model itself is not changed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildcore.api.editors import EditorChoice, chosen, made
from wildcore.api.jobs import job, plugins
from wildcore.api.naming import errors_in_python
from wildcore.api.progress import reporter_for
from wildcore.datasets.rows import Row, edit_request
from wildcore.datasets.selection import other_form_note
from wildcore.errors import Option, Place, UserError
from wildcore.home import user_path
from wildcore.interfaces import Editor, Environment, Patch
from wildcore.jobs.in_use import in_use, require_unedited
from wildcore.jobs.spec import EditJob
from wildcore.scripts import SEPARATORS, SeparatorChoice
from wildcore.storage.cache import cache_folder
from wildcore.types import EditRequest

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel
    from wildcore.patches.files import PatchManifest

THE_PATCH = Path("patch")
"""Used in messages in place of a patch's file, for a patch without one."""


@dataclass(frozen=True, repr=False)
class ModelPatch:
    """A reversible change to one model, as loaded: the patch itself, and the metadata for its file."""

    patch: Patch
    manifest: "PatchManifest"

    @property
    def facts(self) -> tuple[EditRequest, ...]:
        """The facts that it writes."""
        return self.manifest.requests

    @errors_in_python
    def applied(self, model: "LoadedModel") -> AbstractContextManager[None]:
        """Return a context in which ``model`` carries the change; afterwards it is bit for bit what it was before.

        Raises ``UserError`` for a model that the patch was not made for, or for the same model in another dtype.
        """
        self.require_fits(model)
        return _marked(self.patch, model)

    @errors_in_python
    def require_fits(self, model: "LoadedModel") -> None:
        """Raise ``UserError`` unless the patch was made for ``model``."""
        from wildcore.patches.files import require_same_model

        require_same_model(THE_PATCH, self.manifest, model)

    def describe(self) -> Mapping[str, Any]:
        """Return facts about the change, such as its norm and the modules that it changes."""
        return self.patch.describe()

    @errors_in_python
    def save(self, path: str | Path) -> Path:
        """Write the patch file for ``wildcore apply`` and ``wildcore eval --patch``.

        Raises ``UserError`` if it cannot be written, ``path`` already exists, or no plugin could load it.
        """
        from wildcore.patches.files import write_patch
        from wildcore.patches.weights import WeightPatch

        if self.manifest.editor["plugin"] is None and not isinstance(self.patch, WeightPatch):
            raise UserError(
                "no plugin offers the editor of this patch, so it could not be read back; only changes of weights can",
                about=Place(Path(path)),
            )
        place = user_path(path)
        write_patch(place, self.patch, self.manifest)
        return place

    def __repr__(self) -> str:
        said = ", ".join(f"{key} {value}" for key, value in self.describe().items())
        return f"ModelPatch({self.manifest.editor_name}, {len(self.facts)} facts: {said})"


@contextmanager
def _marked(patch: Patch, model: "LoadedModel") -> Iterator[None]:
    """Apply a patch of any kind, and mark the model as carrying one."""
    model.weight_patches.append(patch)
    try:
        with patch.applied(model):
            yield
    finally:
        model.weight_patches.pop()


@errors_in_python
def fact(
    prompt: str,
    target: str,
    subject: str | None = None,
    aliases: Sequence[str] = (),
    ground_truth: str | None = None,
) -> EditRequest:
    """Return one fact to write: after ``prompt`` the model is to say ``target``. Many methods need the ``subject`` in the
    prompt.

    Raises ``UserError`` for a field that is empty or not text.
    """
    fields = {
        "prompt": prompt,
        "target": target,
        "subject": subject,
        "aliases": list(aliases),
        "ground_truth": ground_truth,
    }
    return edit_request(Row("fact", fields))


@errors_in_python
def edit(
    model: "LoadedModel",
    editor: EditorChoice | Editor | str,
    facts: EditRequest | Sequence[EditRequest],
    *,
    seed: int = 0,
    target_separator: SeparatorChoice = "auto",
    progress: bool = True,
) -> ModelPatch:
    """Write all ``facts`` into one patch, as ``wildcore edit`` does; ``model`` is not changed.

    ``editor`` is the result of ``wildcore.api.editor``, a name, or an object with the methods of ``wildcore.Editor``. A fact
    that it refuses is left out, with a note; the patch's ``facts`` are those written. Raises ``UserError`` for bad input, if
    all facts are refused, and for an edit that diverged. ``target_separator`` is what stands between prompt and target: "auto"
    (by the prompt's script), "space" or "none".
    """
    require_unedited(model)
    requests = [facts] if isinstance(facts, EditRequest) else list(facts)
    if not requests:
        raise UserError("there is none to write", about="facts")
    for request in requests:
        if not isinstance(request, EditRequest):
            raise UserError(f"expected what wildcore.api.fact returns, found {request!r:.80}", about="facts")
    choice, own = chosen(editor)
    spec = job(
        EditJob,
        model,
        editor=choice.name,
        settings=choice.settings,
        as_published=choice.as_published,
        seed=seed,
        target_separator=target_separator,
    )
    given, separator = requests, SEPARATORS[spec.target_separator]
    requests = [request.with_separator(separator).with_canonical_answers() for request in given]
    from wildcore.jobs.edit import require_finite, solve  # heavy

    reporter = reporter_for(progress)
    if changed := sum(one.target != other.target for one, other in zip(given, requests, strict=True)):
        reporter.note(other_form_note(changed, "facts"))
    with in_use(model):
        environment = Environment(cache_folder(), spec.seed, reporter)
        update, manifest = solve(plugins(), made(spec, own, model), model, requests, environment)
    refused = [
        f"{request.prompt[:60]!r}: {refusal}"
        for request, refusal in zip(requests, update.refusals, strict=True)
        if refusal is not None
    ]
    if update.patch is None:
        raise UserError(f"{manifest.editor_name} refuses all {len(refused)}; {refused[0]}", about="facts")
    for refusal in refused:
        reporter.note(f"refused and left out of the patch: {refusal}")
    require_finite(update.patch, manifest.editor_name)
    return ModelPatch(update.patch, manifest)


@errors_in_python
def open_patch(path: str | Path, model: "LoadedModel") -> ModelPatch:
    """Return the patch in a file. Raises ``UserError`` if it is damaged or was made for another model."""
    from wildcore.jobs.build import read_back
    from wildcore.patches.files import read_patch, require_same_model

    require_unedited(model)
    file = read_patch(user_path(path))
    require_same_model(file.path, file.manifest, model)
    return ModelPatch(read_back(plugins(), file, model), file.manifest)


def fitting(patch: "ModelPatch | str | Path", model: "LoadedModel") -> ModelPatch:
    """Return a patch, or the patch in a file, for ``model``. Raises ``UserError`` if it was made for another."""
    if isinstance(patch, str | Path):
        return open_patch(patch, model)
    if not isinstance(patch, ModelPatch):
        raise UserError(
            f"expected what wildcore.api.edit returned or a patch file, found {type(patch).__name__}", Option("patch")
        )
    patch.require_fits(model)
    return patch
