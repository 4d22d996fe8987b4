"""What a row of a data set may hold, whatever format it comes from."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from json import JSONDecodeError
from typing import Any

from wildcore.bounded import CONTROL, DEPTH, NAME_CHARACTERS, ROW_VALUES, require_characters, require_shallow, too_deep
from wildcore.datasets.json_rows import Unreadable, parsed_json


def require_sound(fields: Any) -> None:
    """Raise ``ValueError`` for a row that is nested too deeply or has too many values, for one with a name that cannot be shown
    or text that cannot be written, and for a value that could not be read.
    """
    waiting: list[tuple[Any, int]] = [(fields, 0)]
    count = 0
    while waiting:
        found, depth = waiting.pop()
        if isinstance(found, str):
            _require_text(found)
        elif isinstance(found, Mapping | list | tuple):
            inner = list(_inner(found))
            count += len(inner)
            if depth >= DEPTH:
                raise ValueError(too_deep())
            if count > ROW_VALUES:
                raise ValueError(f"too large: more than {ROW_VALUES:,} values")
            waiting += [(value, depth + 1) for value in reversed(inner)]
        elif isinstance(found, Unreadable):
            raise ValueError(found.problem)


def require_name(name: Any) -> None:
    """Raise ``ValueError`` for the name of a field that is not text, too long, or has characters that cannot be shown."""
    if not isinstance(name, str):
        raise ValueError(f"the name {str(name)[:60]!r} of a field is not text")
    if len(name) > NAME_CHARACTERS:
        raise ValueError(f"the name of a field has more than {NAME_CHARACTERS:,} characters: {name[:60]!r}...")
    if CONTROL.search(name):
        raise ValueError(f"the name {name!r:.60} of a field holds a control character")
    require_characters(name)


def _inner(found: Any) -> Iterator[Any]:
    if not isinstance(found, Mapping):
        yield from found
        return
    for name, value in found.items():
        require_name(name)
        yield value


def _require_text(text: str) -> None:
    require_characters(text)
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] in ("[]", "{}"):  # a list or an object that a program wrote into a cell
        require_shallow(stripped)
        with suppress(JSONDecodeError):
            require_sound(parsed_json(stripped))
