"""The position at which FT-L predicts the target's tokens."""

from wildcore_training.asking import Asked

from wildcore.models import TokenisedPair


def ask_of_last_position(row: TokenisedPair, beginning: int | None, begin: bool) -> Asked:
    """All target tokens are predicted at the prompt's last position; with ``begin``, so is the beginning-of-sequence token.

    That token is included only if the tokenizer has put one before the prompt, which not every tokenizer does.
    """
    written = row.token_ids[:1] if row.token_ids[0] == beginning else ()
    labels = (*written, *row.target_ids) if begin else row.target_ids
    return Asked(row.token_ids[: row.prompt_length], (row.prompt_length - 1,) * len(labels), labels)
