"""The files of a model folder besides its weights: which belong to the model, and how they are copied."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

OF_THE_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json*",
    "chat_template.jinja", "additional_chat_templates/*.jinja", "vocab.json", "vocab.txt", "vocab.bpe", "merges.txt",
    "tokenizer.model*", "spiece.model", "sentencepiece*.model", "*.tiktoken", "tekken.json",
)  # fmt: skip
OF_THE_MODEL = ("generation_config.json", "preprocessor_config.json", "processor_config.json")
FOR_READERS = ("license*", "licence*", "copying*", "notice*", "use_policy*", "readme*")
TEXT_ENDINGS = ("", ".txt", ".md", ".rst", ".html", ".pdf")
TO_FETCH = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "README.md", "*.tiktoken", "tokenizer.model*")
"""Patterns of such files in a hub model, in addition to the files that loading needs."""
MODEL_CARD = "README.md"


@dataclass(frozen=True)
class Copied:
    """Files of a model folder that were copied, and links that were not copied because they point outside it; names in the
    folder.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]


def copy_companions(source: Path, target: Path, with_code: bool) -> Copied:
    """Copy the files that belong to the model in ``source``, except weights and ``config.json``, byte for byte, overwriting
    ``target``'s.

    These are the tokenizer's files, chat templates, ``generation_config.json``, licence, notice and model card, and Python
    files if ``with_code``. Weights and other files are not copied, nor is a link that points outside the folder. Raises
    ``OSError``.
    """
    names, left_out = [], []
    for path in _companions(source, with_code):
        name = path.relative_to(source).as_posix()
        if not _is_inside(path, source):
            left_out.append(name)
            continue
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target / name)
        names.append(name)
    return Copied(tuple(names), tuple(left_out))


def belongs_to_model(name: str, with_code: bool) -> bool:
    """Return whether the file ``name`` of a model folder belongs to the model and is neither weights nor ``config.json``."""
    low, path = name.lower(), Path(name.lower())
    if any(fnmatch(low, pattern) for pattern in FOR_READERS):
        return path.suffix in TEXT_ENDINGS
    patterns = (*OF_THE_TOKENIZER, *OF_THE_MODEL, *(("*.py",) if with_code else ()))
    return any(fnmatch(low, pattern) for pattern in patterns)


def _companions(folder: Path, with_code: bool) -> Iterator[Path]:
    found = sorted([*folder.glob("*"), *folder.glob("additional_chat_templates/*")])
    return (p for p in found if p.is_file() and belongs_to_model(p.relative_to(folder).as_posix(), with_code))


def _is_inside(path: Path, folder: Path) -> bool:
    """Return whether ``path``, with links resolved, is inside ``folder``, or in the hub's cache that stores its files."""
    blobs = folder.parent.parent / "blobs"
    homes = [folder, blobs] if folder.parent.name == "snapshots" else [folder]
    return any(path.resolve().is_relative_to(home.resolve()) for home in homes)
