"""The store of artifacts, which are prepared once for a model and kept: second moments, projections, hyper-networks.

Each artifact has its own file, whose name is a hash of everything that the content depends on. It is an ordinary safetensors
file; its metadata describe it and hold a hash of the metadata and the content.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from pydantic import AwareDatetime
from safetensors import SafetensorError

from wildcore.errors import Place, UserError
from wildcore.interfaces import Environment, Saved
from wildcore.storage.durable import clear_abandoned
from wildcore.storage.links import require_inside, require_no_link
from wildcore.storage.manifests import read_versioned
from wildcore.storage.tensor_files import hash_of, read_tensors, read_text, write_tensors
from wildcore.types import FrozenData

if TYPE_CHECKING:
    from torch import Tensor

    from wildcore.models.loaded import LoadedModel

Key = TypeVar("Key")

SCHEMA = 1
FOLDER = "prepared"
WHOLE, PARTIAL = ".safetensors", ".partial"
"""Endings of finished files, and of unfinished work that can be resumed."""

KIND = re.compile(r"[a-z0-9][a-z0-9-]*")
MANIFEST = "wildcore-prepared"


class ArtifactManifest(FrozenData):
    """The metadata of the file of an artifact.

    The address is made from ``kind`` to ``facts``; ``model`` is the user's name for the model; ``content`` holds the facts
    that were saved.
    """

    schema_number: int = SCHEMA
    kind: str
    model: str
    fingerprint: str
    revision: str | None
    dtype: str
    facts: Mapping[str, Any]
    content: Mapping[str, Any] = {}
    created: AwareDatetime | None = None
    wildcore: str | None = None

    @property
    def address(self) -> str:
        """The name of its file without the ending: a hash of everything that the content depends on."""
        parts = self.model_dump(include={"kind", "fingerprint", "revision", "dtype", "facts"}, mode="json")
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


class DamagedArtifact(UserError):
    """A file of the store does not hold what was saved in it, so it can be made anew."""


@dataclass(frozen=True)
class Artifact:
    """The file of one artifact; ``manifest`` says what belongs in it."""

    path: Path
    manifest: ArtifactManifest

    @property
    def partial(self) -> "Artifact":
        """A second file, for unfinished work that can be resumed after an interruption. Saving the finished artifact removes
        it.
        """
        return replace(self, path=self.path.with_suffix(PARTIAL))

    def exists(self) -> bool:
        """Return whether the artifact was saved."""
        return self.path.is_file()

    def save(self, saved: Saved) -> None:
        """Save the artifact. When this returns, it survives a crash of the process and of the machine. What processes left
        that were killed while they saved such artifacts is removed, as it is when one is loaded.

        A concurrent reader or writer sees the earlier file or the new one, always whole. Raises ``UserError`` if it cannot be
        written.
        """
        complete = {
            "content": dict(saved.facts),
            "created": datetime.now(UTC).replace(microsecond=0),
            "wildcore": version("wildcore"),
        }
        require_inside(self.path.parents[2], self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            clear_abandoned(self.path.parent)
            manifest = self.manifest.model_copy(update=complete).model_dump_json()
            write_tensors(self.path, saved.tensors, MANIFEST, manifest)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"cannot be written ({error})", Place(self.path), "make room, or name another folder by $WILDCORE_CACHE"
            ) from error
        if self.path.suffix == WHOLE:
            self.partial.remove()

    def load(self) -> Saved:
        """Read what was saved; its tensors are on the CPU.

        Raises ``DamagedArtifact`` for a file that is damaged or belongs to another artifact, and another ``UserError`` for one
        that cannot be read, has another schema, or is a link.
        """
        clear_abandoned(self.path.parent)
        manifest, tensors = read_sound(self.path)
        if manifest.address != self.manifest.address:
            raise DamagedArtifact("it holds something else than its name says", Place(self.path), _way_out(self.path))
        return Saved(tensors, manifest.content)

    def load_if_sound(self, environment: Environment) -> Saved | None:
        """Return what ``load`` returns. None: there is no file, or it is damaged, which is noted; the caller makes it anew."""
        if not self.exists():
            return None
        try:
            return self.load()
        except DamagedArtifact as damage:
            environment.progress.note((Place(self.path), ": ", damage.problem, "; it is made anew"))
        if isinstance(environment, RecordingEnvironment):
            environment.asked[self.path] = False
        return None

    def remove(self) -> None:
        """Remove the file, if it exists."""
        self.path.unlink(missing_ok=True)


def load_or_make(
    environment: Environment, files: Mapping[Key, Artifact], make: Callable[[list[Key]], None]
) -> dict[Key, Saved]:
    """Return the content of every file. ``make`` is given the keys of those that are missing, and saves them.

    A damaged file is noted, and counts as missing. Raises ``UserError`` for a file that cannot be read, and as ``make`` does.
    """
    missing = [key for key, file in files.items() if not file.exists()]
    if missing:
        make(missing)
    loaded = {key: file.load_if_sound(environment) for key, file in files.items()}
    damaged = [key for key, saved in loaded.items() if saved is None]
    if damaged:
        make(damaged)
    return {key: files[key].load() if saved is None else saved for key, saved in loaded.items()}


def content_digest(saved: Saved) -> str:
    """Return a hash of every byte of the tensors. Equal tensors have equal hashes, regardless of when they were made."""
    return hash_of("", saved.tensors)


@dataclass(frozen=True)
class RecordingEnvironment(Environment):
    """An environment that notes which artifacts were asked for, and whether each existed already."""

    asked: dict[Path, bool] = field(default_factory=dict)


def artifact_file(environment: Environment, model: "LoadedModel", kind: str, facts: Mapping[str, Any]) -> Artifact:
    """Return the file of ``kind`` for this model, as loaded, and ``facts``, which are JSON values.

    ``facts`` must hold everything else that the content depends on. Nothing is read or written yet.
    """
    if not KIND.fullmatch(kind):
        raise ValueError(f"kind {kind!r}: small letters, digits and hyphens only, as it names a folder")
    manifest = manifest_for(model, kind, facts)
    file = Artifact(environment.cache / FOLDER / kind / f"{manifest.address}{WHOLE}", manifest)
    if isinstance(environment, RecordingEnvironment):
        environment.asked.setdefault(file.path, file.exists())
    return file


def manifest_for(model: "LoadedModel", kind: str, facts: Mapping[str, Any]) -> ArtifactManifest:
    """Return the metadata of the file of ``kind`` for this model, as loaded, and ``facts``, before anything is saved."""
    of = model.identity
    return ArtifactManifest(
        kind=kind, model=of.name, fingerprint=of.fingerprint, revision=of.revision, dtype=of.dtype, facts=facts
    )


def read_manifest(path: Path) -> ArtifactManifest:
    """Read the metadata of an artifact, not its content. Raises ``UserError`` if it is not one, has another schema, or is a
    link.
    """
    require_no_link(path)
    with _readable(path):
        return _manifest(path, read_text(path, MANIFEST))


def read_sound(path: Path) -> "tuple[ArtifactManifest, dict[str, Tensor]]":
    """Read a whole artifact. Raises ``UserError`` unless its hash is the one that it was saved with.

    safetensors opens the file twice, and it may be replaced in between. It is then read again.
    """
    require_no_link(path)
    while True:
        with _readable(path), path.open("rb") as held:
            try:
                return _read(path)
            except UserError:
                if _is_still(path, held):
                    raise


def _read(path: Path) -> "tuple[ArtifactManifest, dict[str, Tensor]]":
    read_manifest(path)  # check the schema first, since another schema may compute the hash differently
    with _readable(path):
        text, tensors = read_tensors(path, MANIFEST)
    return _manifest(path, text), tensors


def _is_still(path: Path, held: IO[bytes]) -> bool:
    """Return whether ``path`` is still the open file ``held``, by inode. An inode is not reused while its file is open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(held.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, ValueError) as error:
        raise DamagedArtifact(f"damaged, or not a prepared file ({error})", Place(path), _way_out(path)) from error
    except (OSError, RuntimeError) as error:  # torch opens the file a second time
        raise UserError(f"cannot be read ({error})", Place(path), _way_out(path)) from error


def _manifest(path: Path, text: str | None) -> ArtifactManifest:
    try:
        if text is None:
            raise ValueError(f"its metadata have no {MANIFEST}")
        return read_versioned(path, text, ArtifactManifest, (SCHEMA,), _way_out(path))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise DamagedArtifact(f"damaged, or not a prepared file ({reason})", Place(path), _way_out(path)) from error


def _way_out(path: Path) -> str:
    return "delete the file and run again" if path.suffix == WHOLE else "delete the file; its work begins anew"
