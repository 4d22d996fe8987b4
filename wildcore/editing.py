"""Making patches from a file of facts, and models from patches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

from safetensors import SafetensorError

from wildcore import provenance
from wildcore.accumulated import Accumulated
from wildcore.assembly import JobSpec, check_names, make_editor, model_request, names_used, read_back, settled
from wildcore.caching import cache_folder
from wildcore.chat import in_chat
from wildcore.errors import Refused, UserError, each_or_refusal
from wildcore.interfaces import Environment, Patch, Progress
from wildcore.loading import DTYPES, dtype_name, fetch_folder, load_config, load_model, no_progress_bar, read_shape
from wildcore.model_files import copy_companions
from wildcore.models import LoadedModel
from wildcore.patch_files import (
    PatchManifest,
    patched_model,
    require_made_for,
    require_new,
    write_patch,
)
from wildcore.registry import Registry
from wildcore.rows import Row
from wildcore.sequence_files import read_patch_or_run
from wildcore.tables import TableParams, read_table
from wildcore.tensor_files import UNFINISHED, mode_of_new_file
from wildcore.tokens import within_context
from wildcore.types import EditRequest, Malformed


def make_patch(registry: Registry, spec: JobSpec, edits: Path, out: Path, progress: Progress) -> Patch:
    """Write all facts of ``edits`` into one patch, with the editor and model of ``spec``, and keep it at ``out``.

    Raises ``UserError`` for bad input, or a fact that the editor refuses.
    """
    require_new(out)
    check_names(spec.settings, names_used([spec.editor]))
    requests = read_requests(edits)
    request = model_request(registry, spec)
    editor, identity = make_editor(registry, spec, read_shape(request, registry.families))
    model = load_model(request, registry.families)
    for note in model.notes:
        progress.note(note)
    if model.tokenizer.chat_template:
        progress.note(
            f"this model has a chat template, and the facts are written as bare text{in_chat(registry)} (wildcore eval --patch)"
        )
    _require_within_context(model, requests, edits)
    environment = Environment(cache_folder(), spec.seed, progress)
    editor.reset()
    identity |= settled(editor, model, environment)
    editor.prepare(model, environment)
    try:
        patch = editor.edit(model, requests)
    except Refused as refusal:
        raise UserError(f"{edits}: {spec.editor} refuses: {refusal}; take that fact out, or mend it") from refusal
    if not patch.describe().get("finite", True):
        raise UserError(f"editor {spec.editor}: the edit diverged (not finite); nothing was written")
    manifest = PatchManifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=patched_model(model),
        editor=identity,
        seed=spec.seed,
        requests=tuple(requests),
        versions=provenance.versions(registry),
    )
    write_patch(out, patch, manifest)
    return patch


def read_requests(path: Path) -> list[EditRequest]:
    """Read facts from a table with the fields of ``EditRequest``. Raises ``UserError`` naming file, row and field."""
    requests = []
    try:
        for row in read_table(TableParams(path=path)):
            if isinstance(row, Malformed):
                raise UserError(f"{row.place}: {row.problem}")
            requests.append(_request(row))
    except UserError as error:  # the reader of tables speaks of the dataset
        raise UserError(str(error).replace("dataset.path=", "--edits ", 1)) from error
    if not requests:
        raise UserError(f"--edits {path}: it holds no fact")
    return requests


def _require_within_context(model: LoadedModel, requests: Sequence[EditRequest], edits: Path) -> None:
    for request, found in zip(requests, each_or_refusal(partial(within_context, model), requests), strict=True):
        if isinstance(found, Refused):
            raise UserError(
                f"{edits}: the fact that begins {request.prompt[:60]!r}: {found}; take it out, or shorten it"
            )


def _request(row: Row) -> EditRequest:
    return EditRequest(
        prompt=row.text("prompt"),
        target=row.text("target"),
        subject=row.optional_text("subject"),
        aliases=row.texts("aliases") if row.holds("aliases") else (),
        ground_truth=row.optional_text("ground_truth"),
    )


def apply_patches(
    registry: Registry, spec: JobSpec, patches: Sequence[Path], out: Path, progress: Progress
) -> tuple[str, ...]:
    """Write the model of ``spec`` with all ``patches`` in it as an ordinary model folder, in its own dtype if models run in that.

    Each of ``patches`` is a patch file, or a run whose edits were written together. They were each made for the model as it is,
    and their changes add up before they are rounded. ``out`` is there whole or not at all. Returns the names of the files that
    were copied from the model's folder as they are. Raises ``UserError`` for a patch that was made for another model or can be no
    weights, and where nothing can be written.
    """
    require_new(out)
    read = [read_patch_or_run(path) for path in patches]
    for place, file in enumerate(read):
        if file.digest in {other.digest for other in read[:place]}:
            raise UserError(f"{file.path}: that patch is given twice, and would be added twice; leave one of them away")
    together = Accumulated()
    for file in read:
        together.add(file.weights())
        if file.note:
            progress.note(file.note)
    dtypes = {file.manifest.model.dtype for file in read}
    if len(dtypes) > 1:
        raise UserError(f"{patches[0]}: the patches were made in different dtypes ({', '.join(sorted(dtypes))})")
    request = replace(model_request(registry, spec), dtype=dtypes.pop())
    model = load_model(request, registry.families)
    for file in read:
        require_made_for(file.path, file.manifest, model)
    with together.applied(model):
        return _save(model, out, progress)


def open_patch(registry: Registry, path: Path, model: LoadedModel) -> Patch:
    """Return the patch in a file, or of a run whose edits were written together, ready for ``with patch.applied(model):``.

    Raises ``UserError`` for a file that is no patch, one for another model, or an editor that is not installed.
    """
    file = read_patch_or_run(path)
    require_made_for(path, file.manifest, model)
    return read_back(registry, file, model)


def _save(model: LoadedModel, out: Path, progress: Progress) -> tuple[str, ...]:
    source = fetch_folder(model.request)
    own = load_config(model.request, source).dtype or model.dtype
    if own not in DTYPES.values():
        progress.note(f"saved as {dtype_name(model.dtype)}, not {dtype_name(own)}, the model's own dtype: it ran so")
    elif own != model.dtype:
        progress.note(
            f"saved as {dtype_name(own)}, the model's own dtype; the changes are rounded to it from {dtype_name(model.dtype)}"
        )
        model.network.to(own)
    unfinished = out.with_name(f"{out.name}.{uuid4().hex[:8]}{UNFINISHED}")
    try:
        with no_progress_bar():
            model.network.save_pretrained(unfinished)
        model.tokenizer.save_pretrained(unfinished)
        copied = copy_companions(source, unfinished, model.request.trust_remote_code)
        _let_others_read(unfinished)
        unfinished.rename(out)
    except (OSError, SafetensorError) as error:
        raise UserError(f"--out {out}: cannot be written ({error}); choose another place") from error
    finally:
        rmtree(unfinished, ignore_errors=True)
    for name in copied.left_out:
        progress.note(f"{name} is a link that leads out of the model's folder; it was left out")
    return copied.names


def _let_others_read(folder: Path) -> None:
    """Give the files of a new folder the mode that new files have: safetensors lets nobody but the owner read what it writes."""
    probe = folder / f"mode{UNFINISHED}"
    mode = mode_of_new_file(probe)
    probe.unlink()
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)
