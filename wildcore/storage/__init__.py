"""Files and caches that outlive a run."""

from wildcore.storage.durable import write_durably
from wildcore.storage.prepared import Artifact, content_digest, prepared_file, read_manifest
from wildcore.storage.prepared_entries import artifacts_for

__all__ = [
    "Artifact",
    "artifacts_for",
    "content_digest",
    "prepared_file",
    "read_manifest",
    "write_durably",
]
