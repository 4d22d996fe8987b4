"""The one store of what is prepared once for a model and kept: second moments, projections, hyper-networks.

A file for each content, found by everything that it depends on. It is an ordinary safetensors file whose metadata say what it
is and hold a hash of that and of the content.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import AwareDatetime
from safetensors import SafetensorError

from wildcore.errors import UserError
from wildcore.interfaces import Environment, Saved
from wildcore.storage.manifests import read_versioned
from wildcore.storage.tensor_files import hash_of, read_tensors, read_text, write_tensors
from wildcore.types import Record

if TYPE_CHECKING:
    from torch import Tensor

    from wildcore.models.loaded import LoadedModel

SCHEMA = 1
FOLDER = "prepared"
WHOLE, PARTIAL = ".safetensors", ".partial"
"""Endings of what is ready, and of work that can be taken up again."""

KIND = re.compile(r"[a-z0-9][a-z0-9-]*")
MANIFEST = "wildcore-prepared"


class PreparedManifest(Record):
    """What a prepared file says of itself.

    ``kind`` to ``facts`` are what its address is made of, ``model`` is what the user called the model, and ``content`` holds the
    facts that were saved.
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
        """The name of its file, without the ending: a hash of all that the content depends on."""
        parts = self.model_dump(include={"kind", "fingerprint", "revision", "dtype", "facts"}, mode="json")
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class PreparedFile:
    """The place of one prepared thing; ``manifest`` says what belongs there."""

    path: Path
    manifest: PreparedManifest

    @property
    def partial(self) -> "PreparedFile":
        """A second place, for unfinished work that is to go on after an interruption; saving the whole removes it."""
        return replace(self, path=self.path.with_suffix(PARTIAL))

    def exists(self) -> bool:
        """Say whether it was saved."""
        return self.path.is_file()

    def save(self, saved: Saved) -> None:
        """Keep ``saved``; on return it survives the death of the process and of the machine.

        Whoever reads or saves at the same time sees the earlier file or the new one, whole. Raises ``UserError`` where it
        cannot be written.
        """
        complete = {
            "content": dict(saved.facts),
            "created": datetime.now(UTC).replace(microsecond=0),
            "wildcore": version("wildcore"),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            manifest = self.manifest.model_copy(update=complete).model_dump_json()
            write_tensors(self.path, saved.tensors, MANIFEST, manifest)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{self.path}: cannot be written ({error}); make room, or name another folder by $WILDCORE_CACHE"
            ) from error
        if self.path.suffix == WHOLE:
            self.partial.remove()

    def load(self) -> Saved:
        """Read what was saved; its tensors are on the CPU. Raises ``UserError`` for a file that is damaged or not this one's."""
        manifest, tensors = read_sound(self.path)
        if manifest.address != self.manifest.address:
            raise UserError(f"{self.path}: it holds something else than its name says; {_way_out(self.path)}")
        return Saved(tensors, manifest.content)

    def remove(self) -> None:
        """Remove it, if it is there."""
        self.path.unlink(missing_ok=True)


def content_digest(saved: Saved) -> str:
    """Return a hash of every byte of the tensors; whatever has the same ones has the same hash, whenever it was made."""
    return hash_of("", saved.tensors)


@dataclass(frozen=True)
class WatchedEnvironment(Environment):
    """An environment that notes which prepared things were asked for, and whether each was there already."""

    asked: dict[Path, bool] = field(default_factory=dict)


def prepared_file(environment: Environment, model: "LoadedModel", kind: str, facts: Mapping[str, Any]) -> PreparedFile:
    """Return the place of ``kind`` for this model, as loaded, and ``facts``, which are JSON values.

    ``facts`` must hold everything else that the content depends on. Nothing is read or written yet.
    """
    if not KIND.fullmatch(kind):
        raise ValueError(f"kind {kind!r}: small letters, digits and hyphens only, as it names a folder")
    manifest = manifest_for(model, kind, facts)
    file = PreparedFile(environment.cache / FOLDER / kind / f"{manifest.address}{WHOLE}", manifest)
    if isinstance(environment, WatchedEnvironment):
        environment.asked.setdefault(file.path, file.exists())
    return file


def manifest_for(model: "LoadedModel", kind: str, facts: Mapping[str, Any]) -> PreparedManifest:
    """Return what the file of ``kind`` for this model, as loaded, and ``facts`` says of itself before anything is saved."""
    of = model.identity
    return PreparedManifest(
        kind=kind, model=of.name, fingerprint=of.fingerprint, revision=of.revision, dtype=of.dtype, facts=facts
    )


def read_manifest(path: Path) -> PreparedManifest:
    """Read what a prepared file says of itself, not its content. Raises ``UserError`` if it is none, or of another schema."""
    with _readable(path):
        return _manifest(path, read_text(path, MANIFEST))


def read_sound(path: Path) -> "tuple[PreparedManifest, dict[str, Tensor]]":
    """Read a prepared file to its end. Raises ``UserError`` unless its hash is the one that it was saved with.

    safetensors opens a file twice for this, and another may be put in its place in between. Then it is read again.
    """
    while True:
        with _readable(path), path.open("rb") as held:
            try:
                return _read(path)
            except UserError:
                if _is_still(path, held):
                    raise


def _read(path: Path) -> "tuple[PreparedManifest, dict[str, Tensor]]":
    read_manifest(path)  # one of another schema is to be called so, whatever its hash is made of
    with _readable(path):
        text, tensors = read_tensors(path, MANIFEST)
    return _manifest(path, text), tensors


def _is_still(path: Path, held: IO[bytes]) -> bool:
    """Say whether ``path`` is the file that is held open; while it is, no other can have its number."""
    try:
        return os.path.samestat(path.stat(), os.fstat(held.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:  # the second opening is torch's
        raise UserError(f"{path}: damaged, or not a prepared file ({error}); {_way_out(path)}") from error


def _manifest(path: Path, text: str | None) -> PreparedManifest:
    try:
        if text is None:
            raise ValueError(f"its metadata have no {MANIFEST}")
        return read_versioned(path, text, PreparedManifest, (SCHEMA,), _way_out(path))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged, or not a prepared file ({reason}); {_way_out(path)}") from error


def _way_out(path: Path) -> str:
    return "delete the file and run again" if path.suffix == WHOLE else "delete the file; its work begins anew"
