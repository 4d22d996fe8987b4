"""The positions at which the two methods train the target's tokens."""

from collections.abc import Callable

from wildcore_training import asking
from wildcore_training.asking import Asked

from wildcore.models import Joined

Ask = Callable[[Joined, int | None], Asked]
"""A method's choice of positions, from a request's prompt with its target and the tokenizer's beginning-of-sequence token."""


def ask_in_place(row: Joined, beginning: int | None) -> Asked:
    """FT-M: each target token is predicted at the position before it."""
    return asking.ask_in_place(row)


def ask_of_last_position(row: Joined, beginning: int | None, begin: bool) -> Asked:
    """FT-L: all target tokens are predicted at the prompt's last position; with ``begin``, so is the beginning-of-sequence
    token.

    That token is included only if the tokenizer has put one before the prompt, which not every tokenizer does.
    """
    written = row.token_ids[:1] if row.token_ids[0] == beginning else ()
    labels = (*written, *row.target_ids) if begin else row.target_ids
    return Asked(row.token_ids[: row.prompt_length], (row.prompt_length - 1,) * len(labels), labels)
