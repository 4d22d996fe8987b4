"""Files and caches that outlive a run."""

from wildcore.storage.durable import write_durably
from wildcore.storage.prepared import PreparedFile, content_digest, prepared_file, read_manifest
from wildcore.storage.prepared_entries import kept_for

__all__ = [
    "PreparedFile",
    "content_digest",
    "kept_for",
    "prepared_file",
    "read_manifest",
    "write_durably",
]
