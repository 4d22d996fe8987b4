"""The summary of a run with its checksum, and the length and checksum of each file with lines as it was then.

A file of lines that was cut at a line's end has sound lines only, so its lines alone cannot tell.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from wildcore.records.lines import whole_lines
from wildcore.storage.checksums import LENGTH, sealed, unsealed
from wildcore.types import FrozenData

NAME = "summary.json"
FILES = "files"
"""Field of the summary. Summaries of earlier versions have neither this field nor a checksum."""


class Extent(FrozenData):
    """The number of lines of a file, and the checksum of all of them."""

    lines: int = Field(ge=0)
    checksum: str


EXTENTS = TypeAdapter(dict[str, Extent])


@dataclass(frozen=True)
class Change:
    """A file of a run that is not what it was when the run was summed up, and in what. ``is_cut``: lines are missing from it."""

    name: str
    problem: str
    is_cut: bool = False


def extent(path: Path, most: int | None = None) -> Extent:
    """Return the extent of a file, or of its first ``most`` lines. A file that does not exist has no lines."""
    digest, count = hashlib.sha256(), 0
    for line in islice(whole_lines(path), most):
        digest.update(line.text)
        count += 1
    return Extent(lines=count, checksum=digest.hexdigest()[:LENGTH])


def summary_text(summary: Mapping[str, Any], folder: Path, names: Iterable[str]) -> str:
    """Return the text of the summary of the run in ``folder``, with the extents of its files ``names``."""
    extents = {name: extent(folder / name).model_dump() for name in names}
    return sealed(json.dumps({**summary, FILES: extents}, indent=2))


def changes(folder: Path, names: Iterable[str]) -> Iterator[Change]:
    """Yield the files, of ``names`` and the summary itself, that are not what they were when the run was summed up.

    Lines that were appended since are no change. A run that was not summed up, or by an earlier version, has no changes.
    """
    try:
        extents = _extents((folder / NAME).read_bytes())
    except FileNotFoundError:
        return
    except OSError as error:
        yield Change(NAME, f"cannot be read ({error.strerror})")
        return
    except ValueError as error:
        yield Change(NAME, f"damaged: {error}")
        return
    for name in names:
        if (then := extents.get(name)) is None:
            continue
        now = extent(folder / name, then.lines)
        if now.lines < then.lines:
            yield Change(name, f"lines are missing: {then.lines - now.lines} of {then.lines}", is_cut=True)
        elif now != then:
            yield Change(name, f"changed since {NAME} was written")


def _extents(content: bytes) -> Mapping[str, Extent]:
    """Return the extents in a summary; none if an earlier version wrote it. Raises ``ValueError`` if it is damaged."""
    text = unsealed(content)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    if FILES in fields and text is content:
        raise ValueError("its checksum is missing")
    try:
        return EXTENTS.validate_python(fields.get(FILES, {}))
    except ValidationError:
        raise ValueError(f"its field {FILES} is not what was saved") from None
