"""Texts to measure on and prompts to continue: bundled, from a user's file, or from the hub."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from wildcore import Malformed, Parameter, UserError
from wildcore.bounded import read_bounded
from wildcore.datasets import TableParams, read_table
from wildcore_collapse.parameters import SAMPLE

HUB = "hub:"
TEXT = "measurement.perplexity.text"
PROMPTS = "measurement.n-gram-entropy.prompts"
TEXT_BYTES = 10_000_000
"""Most bytes of a .txt file."""


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
        return iter([_read(path, TEXT, TEXT_BYTES)])
    if path.suffix.lower() == ".jsonl":
        return _rows(TableParams(path=path, plain_values=False))
    raise UserError(
        "the file must end in .txt or .jsonl",
        Parameter(TEXT, name),
        f'{SAMPLE} stands for the bundled text, and {HUB}NAME:CONFIG:SPLIT for a dataset on the hub',
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
                raise UserError(row.problem, about=row.place)
            yield row.text("text")
    except UserError as error:  # messages of the table reader speak of the dataset
        names = {
            "dataset.path": lambda path: Parameter(TEXT, path),
            "dataset.hub": lambda hub: Parameter(TEXT, f"{HUB}{hub}"),
        }
        raise error.renamed(names) from error


def _read(path: Path, parameter: str, most: int = TEXT_BYTES) -> str:
    try:
        return read_bounded(path, most)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", Parameter(parameter, path)) from error
    except ValueError as error:
        raise UserError(f"cannot be read: {error}", Parameter(parameter, path)) from error


def _bundled(file: str) -> str:
    return files("wildcore_collapse").joinpath(file).read_text(encoding="utf-8")
