"""Patches as files: a safetensors file whose metadata say which model it is for, which facts it writes, and how it was made."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

import torch
from pydantic import Field, ValidationError, field_validator
from safetensors import SafetensorError
from torch import Tensor

from wildcore.errors import Option, Place, UserError, command, in_one_line
from wildcore.interfaces import RESOURCES, Editor, Patch, SavablePatch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.models.precision import at_least_float32
from wildcore.patches.fitting import AGAIN, CHANGE, changes_in, require_fitting, require_read_back
from wildcore.patches.weights import LowRank, WeightPatch
from wildcore.storage.durable import clear_abandoned
from wildcore.storage.manifests import read_versioned
from wildcore.storage.tensor_files import foreign_metadata, read_tensors, read_text, write_tensors
from wildcore.types import EditRequest, FrozenData

SCHEMA = 2
KEY = "wildcore-patch"


class PatchedModel(FrozenData):
    """The model that a patch was made for. ``fingerprint`` depends on every bit of its weights in ``dtype``."""

    name: str = Field(min_length=1)
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
    seed: int = Field(ge=0, lt=2**63, strict=True)
    requests: tuple[EditRequest, ...]
    versions: Mapping[str, str]
    facts: Mapping[str, Any] | None = None

    @field_validator("editor")
    @classmethod
    def _names_an_editor(cls, editor: Mapping[str, Any]) -> Mapping[str, Any]:
        parts = [editor, *editor.get("transforms", ())]
        if not all(_names_a_module(part) for part in parts):
            raise ValueError("it does not name an editor, its plugin and its parameters")
        return editor

    @property
    def editor_name(self) -> str:
        """The editor's name as used on the command line, with its transforms."""
        return "+".join([self.editor["name"], *(one["name"] for one in self.editor.get("transforms", ()))])


def _names_a_module(said: Any) -> bool:
    """Return whether ``said`` describes a module: its name, its plugin (None: it is of no plugin), its parameters, and the
    resources that it used, if any.
    """
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str) or not said["name"]:
        return False
    mappings = (said.get("params", {}), said.get(RESOURCES, {}))
    return isinstance(said.get("plugin"), str | None) and all(isinstance(one, Mapping) for one in mappings)


def patched_model(model: LoadedModel) -> PatchedModel:
    """Return the description of ``model``, as loaded, for a patch file."""
    return PatchedModel(**model.identity.model_dump(include=set(PatchedModel.model_fields)))


def write_patch(path: Path, patch: Patch, manifest: PatchManifest) -> None:
    """Write a patch file. When this returns, the file survives a crash of the process and of the machine.

    What a process left that was killed while it wrote into the same folder is removed. Raises ``UserError`` if it cannot be
    written or ``path`` already exists.
    """
    require_new(path)
    problem = _problem_of_facts(manifest.requests)
    if problem:
        raise UserError(problem, Option("out", path), "leave it out")
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
        return changes_in(self.path, self.tensors)

    def patch(self, model: LoadedModel, editor: Editor | None) -> Patch:
        """Return the patch for ``model``. If it is not a change of weights, the ``editor`` that made it loads it.

        Raises ``UserError`` if the file does not contain what the editor needs, or cannot be applied to ``model``.
        """
        facts = self.manifest.facts
        if facts is None:
            return self.weights_for(model)
        assert editor is not None, "what is no change of weights needs its editor"
        saved = Saved(self.tensors, facts)
        with editor_read_errors(self.path, "make the patch again with the one installed"):
            patch = editor.load_patch(model, saved)
        require_read_back(self.path, patch, saved, model)
        return patch

    def weights_for(self, model: LoadedModel) -> WeightPatch:
        """Return the change of weights. Raises ``UserError`` if it is none, or does not fit the weights of ``model``."""
        patch = self.weights()
        require_fitting(self.path, patch, model)
        return patch


@contextmanager
def editor_read_errors(path: Path, way_out: str) -> Iterator[None]:
    """Raise ``UserError`` with the ``way_out`` if ``path`` does not contain what its editor needs."""
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what a damaged file makes of an editor's code
        reason = in_one_line(f"{type(error).__name__}: {error}")
        raise UserError(
            f"its editor cannot read it back ({reason}); another version of the editor may have written it",
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
        foreign = foreign_metadata(path, KEY)
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise UserError(f"damaged, or not a patch file ({in_one_line(str(error))})", Place(path), AGAIN) from error
    problem = _problem_of_facts(manifest.requests)
    if foreign:
        problem = f"its metadata hold {in_one_line(foreign[0])!r}, which no patch has"
    if problem:
        raise UserError(f"damaged: {problem}", Place(path), AGAIN)
    if manifest.facts is None:
        changes_in(path, tensors)  # read now, so that damage is found here
    return PatchFile(path, manifest, tensors, digest_of(path))


def digest_of(path: Path) -> str:
    """Return a hash of a whole file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def require_same_model(path: Path, manifest: PatchManifest, model: LoadedModel) -> None:
    """Raise ``UserError`` unless ``model`` is the model that the patch was made for, bit for bit."""
    wanted, found = manifest.model, patched_model(model)
    if all(getattr(wanted, name) == getattr(found, name) for name in ("fingerprint", "model_type", "dtype")):
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


def _problem_of_facts(requests: Sequence[EditRequest]) -> str | None:
    """Return what is wrong with the facts of a patch: one is empty, or occurs twice."""
    for number, request in enumerate(requests, start=1):
        if not request.prompt.strip() or not request.target.strip():
            return f"fact {number} has no prompt or no target"
        if "\0" in f"{request.prompt}{request.target}{request.subject}":
            return f"fact {number} holds a NUL character"
        first = requests.index(request) + 1
        if first < number:
            return f"fact {number} repeats fact {first}"
    return None


def _manifest(path: Path, text: str) -> PatchManifest:
    try:
        return read_versioned(path, text, PatchManifest, (SCHEMA,), AGAIN)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"its manifest is damaged at {place}", Place(path), AGAIN) from error
