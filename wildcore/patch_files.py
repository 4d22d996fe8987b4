"""Patches as files: a safetensors file whose metadata say which model it is for, which facts it writes, and how it was made."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wildcore.errors import UserError
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore.types import EditRequest, Record

SCHEMA = 1
KEY = "wildcore-patch"


class PatchedModel(Record):
    """The model that a patch was made for. ``fingerprint`` depends on every bit of its weights in ``dtype``."""

    name: str
    revision: str | None
    model_type: str
    dtype: str
    fingerprint: str


class PatchManifest(Record):
    """What a patch file says of itself."""

    schema_number: int = SCHEMA
    created: str
    model: PatchedModel
    editor: Mapping[str, Any]
    seed: int
    requests: tuple[EditRequest, ...]
    versions: Mapping[str, str]


def patched_model(model: LoadedModel) -> PatchedModel:
    """Return what tells ``model``, as loaded, from any other."""
    return PatchedModel(
        name=model.request.name,
        revision=model.revision,
        model_type=model.family.model_type,
        dtype=str(model.dtype).removeprefix("torch."),
        fingerprint=model.fingerprint,
    )


def write_patch(path: Path, patch: WeightPatch, manifest: PatchManifest) -> None:
    """Write a patch file. Raises ``UserError`` where it cannot be written or something is there already."""
    require_new(path)
    tensors: dict[str, Tensor] = {}
    for name, change in patch.changes.items():
        parts = (
            {"left": change.left, "right": change.right} if isinstance(change, LowRank) else {"change": change.change}
        )
        tensors |= {f"{name}:{part}": tensor.detach().float().cpu().contiguous() for part, tensor in parts.items()}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, temporary, metadata={KEY: manifest.model_dump_json()})
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"--out {path}: cannot be written ({error}); choose another place") from error


def require_new(path: Path) -> None:
    """Raise ``UserError`` if there is something at ``path``, or no folder to put it in."""
    if path.exists():
        raise UserError(f"--out {path}: it is there already; choose another name")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}; make it first")


def read_patch(path: Path) -> tuple[WeightPatch, PatchManifest]:
    """Read a patch file. Raises ``UserError`` if it is not there, is none, or is of another schema."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as stream:
            text = (stream.metadata() or {}).get(KEY)
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a patch file ({error})") from error
    if text is None:
        raise UserError(f"{path}: a safetensors file, but no patch; wildcore edit writes those")
    return _patch(path, tensors), _manifest(path, text)


def require_made_for(path: Path, manifest: PatchManifest, model: LoadedModel) -> None:
    """Raise ``UserError`` unless ``model`` is the one that the patch was made for, bit for bit."""
    wanted, found = manifest.model, patched_model(model)
    if wanted.fingerprint == found.fingerprint:
        return
    differences = [
        f"{name} {getattr(wanted, name)}, not {getattr(found, name)}"
        for name in ("model_type", "dtype", "revision", "fingerprint")
        if getattr(wanted, name) != getattr(found, name)
    ]
    raise UserError(f"{path}: made for {wanted.name} ({'; '.join(differences)}); it means nothing to {found.name}")


def _patch(path: Path, tensors: Mapping[str, Any]) -> WeightPatch:
    changes: dict[str, LowRank | Dense] = {}
    for name in sorted({key.rpartition(":")[0] for key in tensors}):
        parts = {part: tensors.get(f"{name}:{part}") for part in ("left", "right", "change")}
        if parts["change"] is not None:
            changes[name] = Dense(parts["change"])
        elif parts["left"] is not None and parts["right"] is not None:
            changes[name] = LowRank(parts["left"], parts["right"])
        else:
            raise UserError(f"{path}: damaged: the change of {name} is not whole; make the patch again")
    return WeightPatch(changes)


def _manifest(path: Path, text: str) -> PatchManifest:
    try:
        manifest = PatchManifest.model_validate_json(text)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"{path}: its manifest is damaged at {place}; make the patch again") from error
    if manifest.schema_number != SCHEMA:
        raise UserError(f"{path}: schema {manifest.schema_number}, and this wildcore reads schema {SCHEMA}")
    return manifest
