"""Patches as files: a safetensors file whose metadata say which model it is for, which facts it writes, and how it was made."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from wildcore.errors import Option, Place, UserError, command
from wildcore.interfaces import Editor, Patch, SavablePatch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.models.precision import at_least_float32
from wildcore.patches.weights import Dense, LowRank, WeightPatch
from wildcore.storage.durable import clear_abandoned
from wildcore.storage.manifests import read_versioned
from wildcore.storage.tensor_files import read_tensors, read_text, write_tensors
from wildcore.types import EditRequest, FrozenData

SCHEMA = 2
KEY = "wildcore-patch"
CHANGE = "change"
"""Tensors are named MODULE:PART. This part is a change of the whole weight [outputs, inputs]."""


class PatchedModel(FrozenData):
    """The model that a patch was made for. ``fingerprint`` depends on every bit of its weights in ``dtype``."""

    name: str
    revision: str | None
    model_type: str
    dtype: str
    fingerprint: str


class PatchManifest(FrozenData):
    """The metadata of a patch file. ``facts`` is None if the patch is a change of weights."""

    schema_number: int = SCHEMA
    created: str
    model: PatchedModel
    editor: Mapping[str, Any]
    seed: int
    requests: tuple[EditRequest, ...]
    versions: Mapping[str, str]
    facts: Mapping[str, Any] | None = None

    @property
    def editor_name(self) -> str:
        """The editor's name as used on the command line, with its transforms."""
        return "+".join([self.editor["name"], *(one["name"] for one in self.editor.get("transforms", ()))])


def patched_model(model: LoadedModel) -> PatchedModel:
    """Return the description of ``model``, as loaded, for a patch file."""
    return PatchedModel(**model.identity.model_dump(include=set(PatchedModel.model_fields)))


def write_patch(path: Path, patch: Patch, manifest: PatchManifest) -> None:
    """Write a patch file. When this returns, the file survives a crash of the process and of the machine.

    What a process left that was killed while it wrote into the same folder is removed. Raises ``UserError`` if it cannot be
    written or ``path`` already exists.
    """
    require_new(path)
    saved = Saved(_tensors(patch), {}) if isinstance(patch, WeightPatch) else require_savable(patch).to_saved()
    if not isinstance(patch, WeightPatch):
        manifest = manifest.model_copy(update={"facts": saved.facts})
    clear_abandoned(path.parent)
    try:
        write_tensors(path, saved.tensors, KEY, manifest.model_dump_json())
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot be written ({error})", Option("out", path), "choose another place") from error


def require_savable(patch: Patch) -> SavablePatch:
    """Return ``patch``. Raises ``UserError`` if it cannot be saved to a file."""
    if not hasattr(patch, "to_saved"):
        raise UserError(f"this method's patches ({type(patch).__name__}) can neither be weights nor be kept in a file")
    return cast(SavablePatch, patch)


def _tensors(patch: WeightPatch) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, change in patch.changes.items():
        parts = {"left": change.left, "right": change.right} if isinstance(change, LowRank) else {CHANGE: change.change}
        tensors |= {f"{name}:{part}": at_least_float32(tensor) for part, tensor in parts.items()}
    return tensors


def require_new(path: Path) -> None:
    """Raise ``UserError`` if ``path`` already exists or its parent folder does not."""
    try:
        if path.exists() or path.is_symlink():
            raise UserError("already exists", Option("out", path), "choose another name")
        if path.parent.is_file():
            raise UserError(f"{path.parent} is a file, not a folder", Option("out", path), "choose another place")
        if not path.parent.is_dir():
            raise UserError(f"there is no folder {path.parent}", Option("out", path), "make it first")
        TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(
            f"nothing can be written there ({error.strerror})", Option("out", path), "choose another place"
        ) from error


@dataclass(frozen=True)
class PatchFile:
    """A patch file that was read. ``digest`` is a hash of the whole file, ``note`` is shown to the user."""

    path: Path
    manifest: PatchManifest
    tensors: Mapping[str, Tensor]
    digest: str
    note: str | None = None

    def weights(self) -> WeightPatch:
        """Return the change of weights. Raises ``UserError`` if the patch is not one, saying what runs it."""
        if self.manifest.facts is not None:
            raise UserError(
                f"what {self.manifest.editor_name} changes cannot become weights",
                about=Place(self.path),
                way_out=f"{command('eval', Option('patch'))} evaluates it, and wildcore.api.open_patch applies it in Python",
            )
        return _patch(self.path, self.tensors)

    def patch(self, model: LoadedModel, editor: Editor | None) -> Patch:
        """Return the patch for ``model``. If it is not a change of weights, the ``editor`` that made it loads it.

        Raises ``UserError`` if the file does not contain what the editor needs.
        """
        facts = self.manifest.facts
        if facts is None:
            return self.weights()
        assert editor is not None, "what is no change of weights needs its editor"
        with editor_read_errors(self.path, "make the patch again with the one installed"):
            return editor.load_patch(model, Saved(self.tensors, facts))


@contextmanager
def editor_read_errors(path: Path, way_out: str) -> Iterator[None]:
    """Raise ``UserError`` with the ``way_out`` if ``path`` does not contain what its editor needs."""
    try:
        yield
    except (KeyError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"its editor cannot read it back ({reason:.300}); another version of the editor may have written it",
            Place(path),
            way_out,
        ) from error


def read_patch(path: Path) -> PatchFile:
    """Read a patch file. Raises ``UserError`` if it does not exist, is not a patch file, is damaged, or has another schema."""
    if not path.is_file():
        raise UserError("no such file", Place(path))
    try:
        text = read_text(path, KEY)
        if text is None:
            raise UserError("a safetensors file, but no patch", Place(path), "wildcore edit writes those")
        manifest = _manifest(path, text)  # checked first: a file of the previous schema has no hash
        _, tensors = read_tensors(path, KEY)
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise UserError(f"damaged, or not a patch file ({error})", Place(path), "make the patch again") from error
    if manifest.facts is None:
        _patch(path, tensors)  # read now, so that damage is found here
    return PatchFile(path, manifest, tensors, digest_of(path))


def digest_of(path: Path) -> str:
    """Return a hash of a whole file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def require_same_model(path: Path, manifest: PatchManifest, model: LoadedModel) -> None:
    """Raise ``UserError`` unless ``model`` is the model that the patch was made for, bit for bit."""
    wanted, found = manifest.model, patched_model(model)
    if wanted.fingerprint == found.fingerprint:
        return
    differences = [
        f"{name} {getattr(wanted, name)}, not {getattr(found, name)}"
        for name in ("model_type", "dtype", "revision", "fingerprint")
        if getattr(wanted, name) != getattr(found, name)
    ]
    if {difference.split()[0] for difference in differences} <= {
        "dtype",
        "fingerprint",
    } and wanted.dtype != found.dtype:
        way_out = ("load the model in that dtype (", Option("dtype", wanted.dtype), ")")
    else:
        way_out = ("name that model (", Option("model", wanted.name), ")")
    made_for = f"made for {wanted.name} ({'; '.join(differences)})"
    raise UserError(f"{made_for} and cannot be applied to {found.name}", Place(path), way_out)


def _patch(path: Path, tensors: Mapping[str, Any]) -> WeightPatch:
    changes: dict[str, LowRank | Dense] = {}
    for name in sorted({key.rpartition(":")[0] for key in tensors}):
        parts = {part: tensors.get(f"{name}:{part}") for part in ("left", "right", CHANGE)}
        if (change := parts[CHANGE]) is not None:
            changes[name] = Dense(change)
        elif parts["left"] is not None and parts["right"] is not None:
            changes[name] = LowRank(parts["left"], parts["right"])
        else:
            raise UserError(f"damaged: the change of {name} is not whole", Place(path), "make the patch again")
    return WeightPatch(changes)


def _manifest(path: Path, text: str) -> PatchManifest:
    try:
        return read_versioned(path, text, PatchManifest, (SCHEMA,), "make the patch again")
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"its manifest is damaged at {place}", Place(path), "make the patch again") from error
