"""What a model's files contain, as one hash, without loading the model."""

import hashlib
import json
from pathlib import Path

from wildcore.storage.durable import write_durably

CONTENT = ("*.safetensors", "*.gguf", "*.json", "*.model", "*.jinja", "merges.txt", "vocab.txt")
"""Patterns of the files that decide what a model answers: weights, configuration, tokenizer, chat template."""
SNAPSHOTS = "snapshots"
"""Folder of the hub's cache; below it lies a folder for each commit, which is named by the commit."""


def content_of_folder(folder: Path, cache: Path) -> str:
    """Return a hash of the model's files in ``folder``. Equal files have one hash, wherever they lie.

    Of a hub model it is the commit. Each file is read once: its hash is kept in ``cache`` for as long as the file's size and
    time of change stay the same. Raises ``OSError`` for a file that cannot be read.
    """
    if folder.parent.name == SNAPSHOTS:
        return f"commit {folder.name}"
    files = sorted({file for pattern in CONTENT for file in folder.glob(pattern) if file.is_file()})
    said = "".join(f"{file.name} {_digest_of(file, cache)}\n" for file in files)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _digest_of(file: Path, cache: Path) -> str:
    stat = file.stat()
    state = [str(file.resolve()), stat.st_size, stat.st_mtime_ns]
    kept = cache / "file-digests" / f"{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:32]}.json"
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["state"] == state and isinstance(known["sha256"], str):
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not kept yet, or damaged: the file is read
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_durably(kept, json.dumps({"state": state, "sha256": digest}))
    return digest
