"""Texts for estimating second moments: a small bundled sample, a local file, or a hub dataset."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from wildcore import Parameter, UserError

SAMPLE = "sample"
HUB = "hub:"


@dataclass(frozen=True)
class Corpus:
    """A named corpus. ``identity`` changes if its content does."""

    name: str
    identity: str

    def documents(self) -> Iterator[str]:
        """Yield its texts."""
        if self.name.startswith(HUB):
            yield from _hub_documents(self.name)
        else:
            yield from (line for line in _local_text(self.name).split("\n") if line.strip())


def open_corpus(name: str) -> Corpus:
    """Return the corpus ``name``: "sample", "hub:NAME[:CONFIG[:SPLIT]]", or a text file with one document on each line.

    Raises ``UserError`` for a file that cannot be read.
    """
    if name.startswith(HUB):
        return Corpus(name, name)
    return Corpus(name, hashlib.sha256(_local_text(name).encode()).hexdigest()[:16])


def pinned_corpus(name: str) -> dict[str, str]:
    """Return a corpus's description for the manifest (``Editor.pin_resources``); a parameter contains only its name."""
    return {"corpus": open_corpus(name).identity}


def _local_text(name: str) -> str:
    if name == SAMPLE:
        return files("wildcore_keyvalue").joinpath("sample_corpus.txt").read_text(encoding="utf-8")
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        way_out = 'name a text file, "sample", or "hub:NAME:CONFIG:SPLIT"'
        raise UserError(f"cannot be read ({error})", Parameter("editor.corpus", name), way_out) from error


def _hub_documents(name: str) -> Iterator[str]:
    from datasets import load_dataset

    path, config, split = [*name.removeprefix(HUB).split(":"), "", ""][:3]
    try:
        rows = load_dataset(path, config or None, split=split or "train", streaming=True)
        for row in rows:
            yield str(row["text"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot be read from the hub: {error}", Parameter("editor.corpus", name)) from error
