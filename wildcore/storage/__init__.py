"""Files and caches that outlive a run."""

from wildcore.storage.artifact_entries import artifacts_for
from wildcore.storage.artifacts import Artifact, artifact_file, content_digest, read_manifest
from wildcore.storage.durable import write_durably

__all__ = [
    "Artifact",
    "artifact_file",
    "artifacts_for",
    "content_digest",
    "read_manifest",
    "write_durably",
]
