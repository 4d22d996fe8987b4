"""The content of the store of artifacts: listed, verified and pruned; and, for editors, all artifacts of a model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from wildcore.errors import Place, UserError
from wildcore.interfaces import Environment
from wildcore.storage.artifacts import (
    FOLDER,
    PARTIAL,
    WHOLE,
    Artifact,
    ArtifactManifest,
    manifest_for,
    read_manifest,
    read_sound,
)
from wildcore.storage.durable import UNFINISHED

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

ABANDONED_AFTER = timedelta(hours=1)
"""A file that has not been written to for this long is considered abandoned."""


@dataclass(frozen=True)
class Entry:
    """A file of the store. ``manifest`` is None if it cannot be read; ``problem`` then says why."""

    path: Path
    size: int
    """In bytes."""
    written: datetime
    manifest: ArtifactManifest | None
    problem: str | None

    @property
    def kind(self) -> str:
        """The kind of the artifact."""
        return self.path.parent.name

    @property
    def whole(self) -> bool:
        """Whether the artifact is finished. If not, it can be resumed, or was left behind by a process that died."""
        return self.path.suffix == WHOLE

    @property
    def writing(self) -> bool:
        """Whether the file is being written, or was left behind by a process that died while it wrote it."""
        return self.path.suffix == UNFINISHED

    @property
    def created(self) -> datetime:
        """When the content was made."""
        return (self.manifest and self.manifest.created) or self.written


def store_folder(cache: Path) -> Path:
    """Return the folder that holds the store."""
    return cache / FOLDER


def entries(cache: Path) -> list[Entry]:
    """Return all files of the store under ``cache``, sorted by kind. Only the first bytes of each are read."""
    files = sorted(store_folder(cache).glob("*/*"))
    return [entry for path in files if path.suffix in (WHOLE, PARTIAL, UNFINISHED) for entry in _entry(path)]


def artifacts_for(environment: Environment, model: "LoadedModel", kind: str) -> list[Artifact]:
    """Return all artifacts of ``kind`` kept for this model, as loaded, the newest last. Only the first bytes of each are read.

    For editors that leave open which of several artifacts to use; they return their choice for the manifest from
    ``Editor.pin_resources``. A file that cannot be read is noted.
    """
    paths = sorted((store_folder(environment.cache) / kind).glob(f"*{WHOLE}"))
    found = sorted(
        (entry for path in paths for entry in _entry(path)), key=lambda entry: (entry.created, entry.written)
    )
    for entry in found:
        if entry.problem:
            environment.progress.note(f"passed over: {entry.problem}")
    of_model = manifest_for(model, kind, {}).address
    files = [Artifact(entry.path, entry.manifest) for entry in found if entry.manifest]
    return [file for file in files if file.manifest.model_copy(update={"facts": {}}).address == of_model]


def damage(entry: Entry) -> str | None:
    """Read a whole entry and return what is wrong with it. None: it is sound, or has been removed in the meantime."""
    if entry.writing:
        return None
    problem = entry.problem or _problem(entry.path)
    return problem if entry.path.exists() else None


def _problem(path: Path) -> str | None:
    try:
        read_sound(path)
    except UserError as error:
        return str(error)
    return None


def chosen(
    found: Iterable[Entry],
    kinds: Sequence[str] = (),
    models: Sequence[str] = (),
    older_than: timedelta | None = None,
    only_unfinished: bool = False,
) -> list[Entry]:
    """Return the entries that match every criterion given; ``models`` are names or fingerprints.

    A file that is being written is never included.
    """
    now = datetime.now(UTC)
    return [
        entry
        for entry in found
        if (not kinds or entry.kind in kinds)
        and (not models or (entry.manifest and {entry.manifest.model, entry.manifest.fingerprint} & {*models}))
        and (older_than is None or now - entry.created > older_than)
        and not (only_unfinished and entry.whole)
        and not (entry.writing and now - entry.written < ABANDONED_AFTER)
    ]


def remove(entries_to_remove: Iterable[Entry]) -> int:
    """Remove entries and return the bytes freed. Raises ``UserError`` if one cannot be removed."""
    freed = 0
    for entry in entries_to_remove:
        try:
            rmtree(entry.path) if entry.writing and entry.path.is_dir() else entry.path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(f"cannot be removed ({error})", Place(entry.path)) from error
        freed += entry.size
    return freed


def _entry(path: Path) -> Iterator[Entry]:
    """Yield the entry of a file; nothing if the file has been removed in the meantime."""
    try:
        facts = path.lstat()
        size = sum(file.lstat().st_size for file in path.iterdir()) if path.is_dir() else facts.st_size
    except FileNotFoundError:
        return
    manifest, problem = None, None
    if path.suffix != UNFINISHED:
        try:
            manifest = read_manifest(path)
        except UserError as error:
            problem = str(error)
    yield Entry(path, size, datetime.fromtimestamp(facts.st_mtime, UTC), manifest, problem)
