"""Text from files and settings that nobody has checked: its size, its nesting and its values are limited before it is used.

Without limits a file of some kilobytes can end the process: nested brackets exhaust the stack, and YAML's aliases stand for
billions of values.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from wildcore.errors import in_one_line

DEPTH = 64
"""Most levels of lists and mappings inside each other."""
VALUES = 8_000_000
"""Most values in a JSON text; each takes up to 100 bytes of memory."""
YAML_VALUES = 10_000
ROW_CHARACTERS = 4_000_000
"""Most characters of one row of a data set."""
ROW_VALUES = 500_000
"""Most values in one row of a data set."""
INTEGER_DIGITS = 640
"""Most digits of a whole number in a data set; Python converts that many however its own limit is set."""
NAME_CHARACTERS = 1_000
"""Most characters of the name of a field in a data set."""
COLUMNS = 10_000
"""Most columns of a table of cells."""
PIECE = 1 << 20
"""Bytes of a file that are read at once."""
SETTING_CHARACTERS = 65_536
"""Most characters of a YAML or TOML text, which is parsed slowly."""
JSON_CHARACTERS = 100_000_000
"""As many as the metadata of a safetensors file may hold."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_LONG_NAME = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{DEPTH}}}""")
"""A dotted name of TOML with too many parts, each of which is a level."""
_SURROGATE = re.compile("[\ud800-\udfff]")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""Control characters of ASCII other than white space."""


def read_bounded(path: Path, most: int = SETTING_CHARACTERS) -> str:
    """Return the text of a file of at most ``most`` bytes, without a byte order mark; no more is read.

    Raises ``OSError`` if it cannot be read, and ``ValueError`` if it is larger or not UTF-8.
    """
    content = read_bytes_bounded(path, most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: {error.reason} at byte {error.start}") from error


def read_bytes_bounded(path: Path, most: int) -> bytes:
    """Return the content of a file of at most ``most`` bytes; no more is read. Raises as ``read_bounded`` does."""
    content = bytearray()
    with path.open("rb") as stream:
        while chunk := stream.read(PIECE):  # a read of ``most`` bytes would take their memory for any file
            content += chunk
            if len(content) > most:
                raise ValueError(f"larger than {most:,} bytes")
    return bytes(content)


def load_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises ``ValueError`` for text that is not JSON, too large or nested too deeply, for a name that an object has twice, and for
    values that JSON does not have (NaN) or that cannot be written again (half of a surrogate pair).
    """
    require_small_json(text)
    value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    require_plain(value)
    return value


def require_small_json(text: str, characters: int = JSON_CHARACTERS, values: int = VALUES) -> None:
    """Raise ``ValueError`` for a JSON text of more than ``characters`` or ``values``, or nested too deeply. Nothing is parsed."""
    if len(text) > characters or text.count(",") + text.count("[") + text.count("{") > values:
        raise ValueError(f"too large: more than {characters:,} characters or {values:,} values")
    require_shallow(text)


def read_foreign_json(path: Path) -> Any:
    """Return the value of a JSON file that another program wrote, whatever its values are.

    Raises ``OSError`` if it cannot be read, and ``ValueError`` if it is not JSON, too large or nested too deeply.
    """
    text = read_bounded(path, JSON_CHARACTERS)
    require_small_json(text)
    return json.loads(text)


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises ``ValueError`` for text that is not YAML, too large or nested too deeply, for aliases, and for values that JSON does
    not have.
    """
    if len(text) > SETTING_CHARACTERS:
        raise ValueError(f"too large: more than {SETTING_CHARACTERS:,} characters")
    try:
        _require_plain_yaml(yaml.parse(text, Loader=yaml.SafeLoader))
        value = _yaml_value(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {in_one_line(str(error))}") from error
    require_plain(value)
    return value


def _yaml_value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (OverflowError, ValueError) as error:  # Python converts YAML's dates and numbers
        raise ValueError(f"a number or date in it is not valid: {in_one_line(str(error))}") from error


def load_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text. Raises ``ValueError`` as ``load_yaml`` does."""
    if len(text) > SETTING_CHARACTERS:
        raise ValueError(f"too large: more than {SETTING_CHARACTERS:,} characters")
    if _LONG_NAME.search(text):
        raise ValueError(too_deep())
    try:
        value = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(too_deep()) from error
    require_plain(value)
    return value


def require_plain(value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` consists of what JSON has: text, finite numbers, truth values, null, lists, and
    mappings with text as keys.

    Whole numbers must fit into 64 bits. Text must be writable as UTF-8 and hold no NUL character.
    """
    waiting = [(value, 0)]
    while waiting:
        found, depth = waiting.pop()
        if depth > DEPTH:
            raise ValueError(too_deep())
        if isinstance(found, dict):
            waiting += [(inner, depth + 1) for pair in found.items() for inner in pair]
            _require_text_keys(found)
        elif isinstance(found, list):
            waiting += [(inner, depth + 1) for inner in found]
        else:
            _require_scalar(found)


def _require_text_keys(mapping: dict[Any, Any]) -> None:
    for key in mapping:
        if not isinstance(key, str):
            raise ValueError(f"the name {str(key)[:40]!r} is not text; put it in quotes")


def _require_scalar(value: Any) -> None:
    if isinstance(value, str):
        require_characters(value)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError("a number is too large for 64 bits")
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{value} is not a finite number")
    elif value is not None:
        raise ValueError(f"a value is read as {type(value).__name__}; put it in quotes if it is meant as text")


def require_characters(text: str) -> None:
    """Raise ``ValueError`` for a text that cannot be written as UTF-8, or that holds a NUL character."""
    if "\0" in text:
        raise ValueError("a text holds a NUL character")
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError("a text holds half of a surrogate pair, which is not a character")


def require_shallow(text: str) -> None:
    """Raise ``ValueError`` for a JSON text that is nested too deeply. Nothing is parsed."""
    if text.count("[") + text.count("{") <= DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > DEPTH:
            raise ValueError(too_deep())


def _require_plain_yaml(events: Iterator[yaml.Event]) -> None:
    """Raise ``ValueError`` for aliases, deep nesting, and too many values. The text is parsed, and no value is made."""
    depth = 0
    for count, event in enumerate(events):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases (*name) are not allowed; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(too_deep())
        if count > 2 * YAML_VALUES:
            raise ValueError(f"too large: more than {YAML_VALUES:,} values")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r:.60} occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a finite number")


def too_deep() -> str:
    """Return what is said of something that is nested too deeply."""
    return f"nested too deeply: more than {DEPTH} levels"
