"""Making patches from a file of facts, and models from patches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError

from wildcore import provenance
from wildcore.accumulated import Accumulated
from wildcore.assembly import JobSpec, check_names, make_editor, model_request, names_used, read_back, settled
from wildcore.caching import cache_folder
from wildcore.errors import Refused, UserError, each_or_refusal
from wildcore.interfaces import Editor, Environment, Patch, Progress
from wildcore.loading import DTYPES, dtype_name, fetch_folder, load_config, load_model, no_progress_bar, read_shape
from wildcore.models import LoadedModel
from wildcore.patch_files import (
    PatchManifest,
    patched_model,
    read_patch,
    require_made_for,
    require_new,
    write_patch,
)
from wildcore.registry import Registry
from wildcore.rows import edit_request
from wildcore.tables import TableParams, read_table
from wildcore.tensor_files import UNFINISHED
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
    environment = Environment(cache_folder(), spec.seed, progress)
    patch, manifest = solve(registry, (editor, identity), model, requests, environment, str(edits))
    write_patch(out, patch, manifest)
    return patch


def solve(
    registry: Registry,
    made: tuple[Editor, dict[str, Any]],
    model: LoadedModel,
    requests: Sequence[EditRequest],
    environment: Environment,
    place: str,
) -> tuple[Patch, PatchManifest]:
    """Return one patch that writes all ``requests``, and what its file says of it; ``model`` stays as it was.

    ``made`` is the editor and what the record says of it, ``place`` where the requests come from. Raises ``UserError`` for a
    request that is too long or that the editor refuses, and for an edit that diverged.
    """
    editor, said = made
    _require_within_context(model, requests, place)
    editor.reset()
    said |= settled(editor, model, environment)
    editor.prepare(model, environment)
    manifest = PatchManifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=patched_model(model),
        editor=said,
        seed=environment.seed,
        requests=tuple(requests),
        versions=provenance.versions(registry),
    )
    name = manifest.editor_name
    try:
        patch = editor.edit(model, requests)
    except Refused as refusal:
        raise UserError(f"{place}: {name} refuses: {refusal}; take that fact out, or mend it") from refusal
    if not patch.describe().get("finite", True):
        raise UserError(f"editor {name}: the edit diverged (not finite); nothing was written")
    return patch, manifest


def read_requests(path: Path) -> list[EditRequest]:
    """Read facts from a table with the fields of ``EditRequest``. Raises ``UserError`` naming file, row and field."""
    requests = []
    try:
        for row in read_table(TableParams(path=path)):
            if isinstance(row, Malformed):
                raise UserError(f"{row.place}: {row.problem}")
            requests.append(edit_request(row))
    except UserError as error:  # the reader of tables speaks of the dataset
        raise UserError(str(error).replace("dataset.path=", "--edits ", 1)) from error
    if not requests:
        raise UserError(f"--edits {path}: it holds no fact")
    return requests


def _require_within_context(model: LoadedModel, requests: Sequence[EditRequest], place: str) -> None:
    for request, found in zip(requests, each_or_refusal(partial(within_context, model), requests), strict=True):
        if isinstance(found, Refused):
            raise UserError(
                f"{place}: the fact that begins {request.prompt[:60]!r}: {found}; take it out, or shorten it"
            )


def apply_patches(registry: Registry, spec: JobSpec, patches: Sequence[Path], out: Path, progress: Progress) -> None:
    """Write the model of ``spec`` with all ``patches`` in it as an ordinary model folder, in its own dtype if models run in that.

    The patches were each made for the model as it is, and their changes add up before they are rounded. ``out`` is there whole
    or not at all. Raises ``UserError`` for a patch that was made for another model or can be no weights, and where nothing can
    be written.
    """
    require_new(out)
    read = [read_patch(path) for path in patches]
    for place, file in enumerate(read):
        if file.digest in {other.digest for other in read[:place]}:
            raise UserError(f"{file.path}: that patch is given twice, and would be added twice; leave one of them away")
    together = Accumulated()
    for file in read:
        together.add(file.weights())
    dtypes = {file.manifest.model.dtype for file in read}
    if len(dtypes) > 1:
        raise UserError(f"{patches[0]}: the patches were made in different dtypes ({', '.join(sorted(dtypes))})")
    request = replace(model_request(registry, spec), dtype=dtypes.pop())
    model = load_model(request, registry.families)
    for file in read:
        require_made_for(file.path, file.manifest, model)
    with together.applied(model):
        _save(model, out, progress)


def open_patch(registry: Registry, path: Path, model: LoadedModel) -> Patch:
    """Return the patch in a file, ready for ``with patch.applied(model):``.

    Raises ``UserError`` for a file that is no patch, one for another model, or an editor that is not installed.
    """
    file = read_patch(path)
    require_made_for(path, file.manifest, model)
    return read_back(registry, file, model)


def _save(model: LoadedModel, out: Path, progress: Progress) -> None:
    own = load_config(model.request, fetch_folder(model.request)).dtype or model.dtype
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
        unfinished.rename(out)
    except (OSError, SafetensorError) as error:
        raise UserError(f"--out {out}: cannot be written ({error}); choose another place") from error
    finally:
        rmtree(unfinished, ignore_errors=True)
