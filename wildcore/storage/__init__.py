"""Files and caches that outlive a run."""

from wildcore.storage.artifact_entries import artifacts_for
from wildcore.storage.artifacts import Artifact, artifact_file, content_digest, load_or_make, read_manifest
from wildcore.storage.checked_rows import CheckedRows
from wildcore.storage.checksums import unsealed
from wildcore.storage.durable import make_durable, not_through_links, replacing, write_durably
from wildcore.storage.links import require_inside

__all__ = [
    "Artifact",
    "CheckedRows",
    "artifact_file",
    "artifacts_for",
    "content_digest",
    "load_or_make",
    "make_durable",
    "not_through_links",
    "read_manifest",
    "replacing",
    "require_inside",
    "unsealed",
    "write_durably",
]
