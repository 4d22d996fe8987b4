"""What a run says of the machine it was made on: paths of files. They are shortened to the file's name before they are shown.

A manifest holds paths where a model, a dataset, a patch or another resource was a local file, and notes can quote them. Names of
users occur only in paths. Hardware is described by its kind. A name on the hub, such as owner/model, is no path.
"""

import re
from collections.abc import Mapping
from typing import Any

WHOLE = re.compile(
    r"(?:file://)?(?:(?:~[\w.-]*|[A-Za-z]:)?[/\\]+|\.\.[/\\])(?:[^/\\\n]+[/\\]+)*(?P<name>[^/\\\n]*)[/\\]*"
)
"""A text that is an absolute path, or one that leads out of the folder it starts in."""
PART = r"[^\s/\\'\"`<>:;,)\]]"
QUOTED = re.compile(rf"(?<![^\s'\"`(=:,\[])(?:~[\w.-]*|[A-Za-z]:)?[/\\](?:{PART}+[/\\])+(?P<name>{PART}*)")
"""An absolute path of at least two parts within a text."""
PROTOCOLS = ("protocols", "own_protocols")
"""Fields that hold texts which the model read: only a value that is a path as a whole is shortened."""


def without_paths(value: Any, in_texts: bool = True) -> Any:
    """Return JSON values with every path shortened to its last part; also paths within texts, if ``in_texts``."""
    if isinstance(value, str):
        return _shortened(value, in_texts)
    if isinstance(value, Mapping):
        return {
            _shortened(str(name), in_texts): without_paths(inner, in_texts and name not in PROTOCOLS)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_paths(inner, in_texts) for inner in value]
    return value


def _shortened(text: str, in_texts: bool) -> str:
    whole = WHOLE.fullmatch(text)
    if whole and whole["name"] and (in_texts or re.search(r"[^/\\][/\\]", text)):  # a protocol may stop at "/n"
        return whole["name"]
    return QUOTED.sub(lambda found: found["name"] or "...", text) if in_texts else text
