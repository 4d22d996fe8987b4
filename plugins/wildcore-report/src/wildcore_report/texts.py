"""Texts and data in the form in which they stand in a page: nothing in them can end an element or be executed."""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"
ESCAPED_IN_SCRIPTS = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


class Cleaner:
    """Writes JSON and counts the lone surrogates, which no file in UTF-8 can hold, that it replaced by U+FFFD."""

    def __init__(self) -> None:
        self.replaced = 0

    def json(self, value: Any) -> str:
        """Return ``value`` as JSON that can be encoded."""
        return self.text(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))

    def text(self, text: str) -> str:
        """Return a text that can be encoded."""
        try:
            text.encode()
        except UnicodeEncodeError:
            text, count = SURROGATE.subn(REPLACEMENT, text)
            self.replaced += count
        return text


def in_script(json_text: str) -> str:
    """Return JSON with the characters escaped that could end a ``script`` element or a line of it."""
    return json_text.translate(ESCAPED_IN_SCRIPTS)


def packed(json_text: str) -> str:
    """Return JSON compressed by gzip, as base64. The same text gives the same bytes."""
    return base64.b64encode(gzip.compress(json_text.encode(), compresslevel=6, mtime=0)).decode()


def utf16_length(text: str) -> int:
    """Return the length of ``text`` as a script in a page counts it."""
    return len(text) + sum(ord(char) > 0xFFFF for char in text)


def cut(text: str, most: int) -> str:
    """Return ``text``, or its beginning with an ellipsis if it is longer than ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def plain(value: Any) -> Any:
    """Return nested mappings and sequences as JSON values: dicts with text keys, and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return value
