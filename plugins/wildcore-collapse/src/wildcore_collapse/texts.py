"""Texts to measure on and prompts to continue: bundled, from a user's file, or from the hub."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from wildcore import Malformed, Parameter, UserError
from wildcore.bounded import read_bounded
from wildcore.datasets import MalformedRow, Row, TableParams, read_table
from wildcore_collapse.parameters import SAMPLE

HUB = "hub:"
TEXT = "measurement.perplexity.text"
PROMPTS = "measurement.n-gram-entropy.prompts"
MOST_BYTES = 10_000_000
"""Most bytes of a .txt file or a file of prompts."""


def read_texts(name: str, characters: int) -> tuple[str, ...]:
    """Return the texts that ``PerplexityParams.text`` names, at least one, cut off after ``characters`` characters in all.

    Raises ``UserError`` for a source that cannot be read or contains no text.
    """
    texts = tuple(_first(characters, _texts(name)))
    if not texts:
        raise UserError("it holds no text", Parameter(TEXT, name))
    return texts


def read_prompts(name: str) -> tuple[str, ...]:
    """Return the prompts that ``EntropyParams.prompts`` names, at least one. Blank lines are skipped.

    Raises ``UserError`` for a file that cannot be read or contains no prompt.
    """
    content = _bundled("sample_prompts.txt") if name == SAMPLE else _read(Path(name), PROMPTS)
    prompts = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not prompts:
        raise UserError("it holds no prompt", Parameter(PROMPTS, name), "write one on each line")
    return prompts


def hash_of(texts: Sequence[str]) -> str:
    """Return a hash of the content of ``texts`` and of their order."""
    return sha256(b"".join(text.encode() + b"\0" for text in texts)).hexdigest()[:16]


def _texts(name: str) -> Iterator[str]:
    if name == SAMPLE:
        return iter([_bundled("sample_text.txt")])
    if name.startswith(HUB):
        return _rows(_on_the_hub(name))
    path = Path(name)
    if path.suffix.lower() == ".txt":
        return iter([_read(path, TEXT)])
    if path.suffix.lower() == ".jsonl":
        return _rows(TableParams(path=path, plain_values=False))
    raise UserError(
        "the file must end in .txt or .jsonl",
        Parameter(TEXT, name),
        f"or name the bundled text, {SAMPLE}, or a dataset on the hub, {HUB}NAME:CONFIG:SPLIT",
    )


def _first(characters: int, texts: Iterable[str]) -> Iterator[str]:
    """Yield ``texts`` without blank ones, cut off after ``characters`` characters in all."""
    left = characters
    for text in texts:
        if text.strip():
            yield text[:left]
            left -= len(text)
        if left <= 0:
            return


def _on_the_hub(name: str) -> TableParams:
    path, *rest = name.removeprefix(HUB).split(":")
    if not path or len(rest) > 2:
        raise UserError("not a dataset on the hub", Parameter(TEXT, name), f"write {HUB}NAME:CONFIG:SPLIT")
    config, split = [*rest, "", ""][:2]
    return TableParams(hub=path, config=config or None, split=split or "train", plain_values=False)


def _rows(params: TableParams) -> Iterator[str]:
    try:
        for row in read_table(params):
            if isinstance(row, Malformed):
                raise UserError(row.problem, about=row.place).within(TEXT)
            yield _text_of(row)
    except UserError as error:  # messages of the table reader speak of the dataset
        raise error.renamed({"dataset.path": _named, "dataset.hub": lambda hub: _named(f"{HUB}{hub}")}) from error


def _text_of(row: Row) -> str:
    try:
        return row.text("text")
    except MalformedRow as error:
        raise error.within(TEXT) from error


def _named(value: object) -> Parameter:
    return Parameter(TEXT, value)


def _read(path: Path, parameter: str) -> str:
    try:
        return read_bounded(path, MOST_BYTES)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", Parameter(parameter, path)) from error
    except ValueError as error:
        way_out = f"give UTF-8 text of at most {MOST_BYTES:,} bytes"
        raise UserError(f"cannot be read: {error}", Parameter(parameter, path), way_out) from error


def _bundled(file: str) -> str:
    return files("wildcore_collapse").joinpath(file).read_text(encoding="utf-8")
