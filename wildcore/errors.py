"""Errors that a user can fix."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


class UserError(Exception):
    """Bad input. The message names the thing, the place and the way out; the command line prints it and exits with code 2."""

    def _render_traceback_(self) -> list[str]:
        """Return only the message, which IPython then shows instead of a traceback."""
        return [f"UserError: {self}"]


class Refused(Exception):
    """Raised by an editor that cannot carry out a request, such as one whose subject is not in its prompt.

    The case is counted and shown as refused; the run goes on.
    """


def each_or_refusal(make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made | Refused]:
    """Return the result of ``make`` for each item; if ``make`` refuses an item, the refusal in its place."""
    return [_made_or_refusal(make, item) for item in items]


def _made_or_refusal(make: Callable[[Item], Made], item: Item) -> Made | Refused:
    try:
        return make(item)
    except Refused as refusal:
        return refusal


def nearest(name: str, known: list[str]) -> str:
    """Return a hint for an unknown ``name``: the closest of ``known``, or all of them."""
    import difflib

    matches = difflib.get_close_matches(name, known, n=1)
    if matches:
        return f"did you mean {matches[0]!r}?"
    return f"known: {', '.join(sorted(known)) or 'none'}"
