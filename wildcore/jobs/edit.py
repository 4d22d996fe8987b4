"""Makes patches from a file of facts, and models from patches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import GenerationConfig

from wildcore.datasets.rows import bad_rows
from wildcore.datasets.selection import WAY_OUT
from wildcore.errors import Option, Place, UserError, command
from wildcore.evaluation.checkpoints import read_patch_or_run
from wildcore.evaluation.refusals import Update, refusals, write_together
from wildcore.interfaces import Editor, Environment, Patch, Progress
from wildcore.jobs.build import make_editor, model_request, pin_resources, read_back
from wildcore.jobs.chat import in_chat
from wildcore.jobs.facts import FactTable, malformed, read_facts
from wildcore.jobs.session import open_session
from wildcore.jobs.spec import EditJob, ModelChoice, names_used, refuse_unused_settings
from wildcore.model_files import copy_companions
from wildcore.models.finiteness import require_finite_logits
from wildcore.models.loaded import LoadedModel
from wildcore.models.loading import (
    DTYPES,
    dtype_name,
    find_files,
    load_config,
    load_model,
    read_shape,
)
from wildcore.models.reading import no_progress_bar
from wildcore.models.sources import ModelFiles
from wildcore.patches.accumulated import CombinedPatch
from wildcore.patches.files import PatchManifest, patched_model, require_new, require_same_model, write_patch
from wildcore.records import provenance
from wildcore.records.trace_files import trace_beside, trace_without_patch, write_patch_trace
from wildcore.registry import Registry
from wildcore.scripts import SEPARATORS
from wildcore.storage.cache import cache_folder
from wildcore.storage.durable import UNFINISHED, appearing, mode_of_new_file
from wildcore.trace import Trace
from wildcore.types import EditRequest, Malformed


@dataclass(frozen=True)
class MadePatch:
    """The result of writing a table of facts: the saved patch (None: every fact was refused), the facts it writes, the rows
    left out because they are malformed, and the facts that the editor refused, each with the reason.
    """

    patch: Patch | None
    written: int
    left_out: tuple[Malformed, ...]
    refused: tuple[Malformed, ...]


def make_patch(registry: Registry, spec: EditJob, edits: Path, out: Path, progress: Progress) -> MadePatch:
    """Write the facts of ``edits`` into one patch, with the editor and model of ``spec``, and save it as ``out``.

    The whole table is read before the model is loaded. With ``spec.trace`` the trace is saved beside the patch, before it. If
    the process is killed in between, the next call for the same ``out`` replaces the trace and notes this. A fact that the
    editor refuses is left out of the patch. Raises ``UserError`` for bad input, naming all malformed rows, unless
    ``spec.skip_malformed`` leaves them out.
    """
    require_new(out)
    if left := trace_without_patch(out):
        progress.note((Place(left), ": left by an edit that ended before its patch was saved; it is replaced"))
    trace = Trace() if spec.trace else None
    if trace is not None and left is None:
        require_new(trace_beside(out))
    refuse_unused_settings(spec.settings, names_used(registry, [spec.editor]))
    request = model_request(registry, spec)
    editor, identity = make_editor(registry, spec, read_shape(request, registry.families))
    table = _read(edits, editor, spec.skip_malformed)
    for note in table.notes:
        progress.note(note)
    requests = [fact.request.with_separator(SEPARATORS[spec.target_separator]) for fact in table.facts]
    session = open_session(registry, request, Environment(cache_folder(), spec.seed, progress, trace))
    require_finite_logits(session.model, [request.prompt for request in requests])
    if session.model.tokenizer.chat_template:
        evaluates = f" ({command('eval', Option('patch'))})"
        progress.note(
            ("this model has a chat template, and the facts are written as bare text", in_chat(registry), evaluates)
        )
    update, manifest = solve(registry, (editor, identity), session.model, requests, session.environment)
    made = MadePatch(update.patch, update.written, tuple(table.bad), tuple(malformed(table.facts, update.refusals)))
    if update.patch is None:
        return made
    if left is not None:
        left.unlink(missing_ok=True)
    if trace is not None:  # also of an edit that diverged
        kept = write_patch_trace(out, trace, requests, diverged=not is_finite(update.patch))
        progress.note(f"trace: {kept}" if kept else (Option("trace"), f": {spec.editor} recorded nothing"))
    require_finite(update.patch, spec.editor)
    write_patch(out, update.patch, manifest)
    return made


def solve(
    registry: Registry,
    made: tuple[Editor, dict[str, Any]],
    model: LoadedModel,
    requests: Sequence[EditRequest],
    environment: Environment,
) -> tuple[Update, PatchManifest]:
    """Return the update that writes ``requests``, without those that the editor refuses, and its patch file's metadata.

    ``made`` is the editor and its description for the manifest. ``model`` stays unchanged.
    """
    editor, said = made
    editor.reset()
    said |= pin_resources(editor, model, environment)
    if None in refusals(editor, model, requests):
        editor.prepare(model, environment)
    update = write_together(editor, model, requests)
    pairs = zip(requests, update.refusals, strict=True)
    manifest = PatchManifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=patched_model(model),
        editor=said,
        seed=environment.seed,
        requests=tuple(request for request, refusal in pairs if refusal is None),
        versions=provenance.versions(registry),
    )
    return update, manifest


def is_finite(patch: Patch) -> bool:
    """Return whether a patch did not diverge."""
    return bool(patch.describe().get("finite", True))


def require_finite(patch: Patch, editor: str) -> None:
    """Raise ``UserError`` for a patch that diverged."""
    if not is_finite(patch):
        raise UserError("the edit diverged (not finite); nothing was written", about=f"editor {editor}")


def _read(edits: Path, editor: Editor, skip_malformed: bool) -> FactTable:
    """Read a table. Raises ``UserError`` naming its malformed rows, unless they are to be skipped and other rows remain."""
    table = read_facts(edits, getattr(editor, "needs_subject", False))
    if table.bad and not (skip_malformed and table.facts):
        way_out = "no row is left to be edited" if skip_malformed else WAY_OUT
        raise bad_rows(Option("edits", edits), table.bad, way_out)
    return table


def apply_patches(
    registry: Registry, spec: ModelChoice, patches: Sequence[Path], out: Path, progress: Progress
) -> tuple[str, ...]:
    """Write the model of ``spec`` with all ``patches`` applied as an ordinary model folder, in its own dtype if wildcore can
    run a model in that dtype.

    Each of ``patches`` is a patch file, or a run whose edits were written together. Each must have been made for the unedited
    model; their changes are summed before they are rounded. ``out`` is written whole or not at all. Returns the names of the
    files that were copied from the model's folder unchanged. Raises ``UserError`` for a patch that was made for another model
    or is not a change of weights, and if nothing can be written.
    """
    require_new(out)
    read = [read_patch_or_run(path) for path in patches]
    for place, file in enumerate(read):
        if file.digest in {other.digest for other in read[:place]}:
            raise UserError(
                "that patch is given twice, and would be added twice", Place(file.path), "leave one of them out"
            )
    for file in read:
        file.weights()  # raises, before the model is loaded, for what is no change of weights
        if file.note:
            progress.note(file.note)
    dtypes = {file.manifest.model.dtype for file in read}
    if len(dtypes) > 1:
        raise UserError(f"the patches were made in different dtypes ({', '.join(sorted(dtypes))})", Place(patches[0]))
    request = replace(model_request(registry, spec), dtype=dtypes.pop())
    model = load_model(request, registry.families)
    together = CombinedPatch()
    for file in read:
        require_same_model(file.path, file.manifest, model)
        together.add(file.weights_for(model))
    with together.applied(model):
        _to_own_dtype(model, progress)
        _require_finite_weights(model, list(together.sums), patches[0])
        return _save(model, out, progress)


def open_patch(registry: Registry, path: Path, model: LoadedModel) -> Patch:
    """Return the patch in a file, or of a run whose edits were written together, ready for ``with patch.applied(model):``.

    Raises ``UserError`` for a file that is not a patch, a patch for another model, or an editor that is not installed.
    """
    file = read_patch_or_run(path)
    require_same_model(path, file.manifest, model)
    return read_back(registry, file, model)


def _to_own_dtype(model: LoadedModel, progress: Progress) -> None:
    """Turn the weights into the dtype in which the model's files hold them, if wildcore can run a model in that dtype."""
    files = find_files(model.request)
    own = load_config(files.request, files.folder).dtype or model.dtype
    if own not in DTYPES.values() or own.itemsize == 8 != model.dtype.itemsize:
        progress.note(
            f"saved as {dtype_name(model.dtype)}, not {dtype_name(own)}, the model's own dtype; the patch was made in the former"
        )
    elif own != model.dtype:
        progress.note(
            f"saved as {dtype_name(own)}, the model's own dtype; the changes are rounded to it from {dtype_name(model.dtype)}"
        )
        model.network.to(own)


def _require_finite_weights(model: LoadedModel, modules: Sequence[str], path: Path) -> None:
    """Raise ``UserError`` if a changed weight of one of ``modules`` is not finite; a sum may be beyond the range of a dtype."""
    for name in modules:
        weight = model.projection(name).weight
        if not bool(weight.isfinite().all()):
            raise UserError(
                f"with the change, the weight of {name} is beyond the range of {dtype_name(weight.dtype)}; nothing was written",
                Place(path),
            )


def _save(model: LoadedModel, out: Path, progress: Progress) -> tuple[str, ...]:
    files = find_files(model.request)
    try:
        with appearing(out) as unfinished:
            with no_progress_bar(), _saved_generation_config(model.network, files.folder):
                model.network.save_pretrained(unfinished)
            model.tokenizer.save_pretrained(unfinished)
            copied = [
                copy_companions(folder, unfinished, model.request.trust_remote_code) for folder in _own_folders(files)
            ]
            _let_others_read(unfinished)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot be written ({error})", Option("out", out), "choose another place") from error
    except Exception as error:  # transformers refuses to save in many ways, such as for weights that share memory
        why = " ".join(str(error).split())
        raise UserError(
            f"transformers cannot save this model ({type(error).__name__}: {why:.300})",
            Option("out", out),
            (
                "the patch itself is unchanged; ",
                command("eval", Option("patch")),
                " evaluates it without saving a model",
            ),
        ) from error
    for name in dict.fromkeys(name for each in copied for name in each.left_out):
        progress.note(f"{name} is a link that leads out of the model's folder; it was left out")
    return tuple(dict.fromkeys(name for each in copied for name in each.names))


def _own_folders(files: ModelFiles) -> list[Path]:
    """Return the folders whose companions are saved with a model; those of an adapter replace its base model's."""
    return [files.folder, *([files.adapter.folder] if files.adapter else [])]


@contextmanager
def _saved_generation_config(network: Any, folder: Path) -> Iterator[None]:
    """Save a plain generation config in this context if the model's own will be copied: transformers refuses to save one that
    contradicts itself, which it reads without complaint.
    """
    own = network.generation_config
    if (folder / "generation_config.json").is_file():
        network.generation_config = GenerationConfig()
    try:
        yield
    finally:
        network.generation_config = own


def _let_others_read(folder: Path) -> None:
    """Give the files of a new folder the default mode: safetensors makes files that only their owner can read."""
    probe = folder / f"mode{UNFINISHED}"
    mode = mode_of_new_file(probe)
    probe.unlink()
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)
