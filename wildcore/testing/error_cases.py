"""Cases of errors: each is caused once, in a folder of its own, and compared with the text that is expected of it."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from wildcore.errors import UserError
from wildcore.testing.raise_sites import positions_recorded, raised_by

ANY = "<...>"
"""Stands in an expected message for any text, such as that of another library."""

Caught = Callable[[int], tuple[UserError, Path]]
"""Returns the error of a case, by its number, and the folder of its files."""


def causing(
    causes: Sequence[Callable[[Path], Any]], made_by: Collection[str], tmp_path_factory: pytest.TempPathFactory
) -> Caught:
    """Return a function that gives the error which one of ``causes`` raises; each is called once, with its folder.

    The error records the calls of ``made_by`` that made it. The cache of wildcore lies in the folder meanwhile.
    """

    @cache
    def caught(number: int) -> tuple[UserError, Path]:
        folder = tmp_path_factory.mktemp("case")
        with pytest.MonkeyPatch.context() as patched, positions_recorded(made_by):
            patched.setenv("WILDCORE_CACHE", str(folder / "cache"))
            return raised_by(lambda: causes[number](folder)), folder

    return caught


def assert_shown(shown: str, expected: str) -> None:
    """Raise ``AssertionError`` unless ``shown`` is the expected text, in which ``ANY`` stands for any text."""
    if ANY in expected:
        assert re.fullmatch(".*".join(map(re.escape, expected.split(ANY))), shown, re.DOTALL), (shown, expected)
    else:
        assert shown == expected
