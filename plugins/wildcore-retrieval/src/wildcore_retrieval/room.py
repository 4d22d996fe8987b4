"""Texts put before a question, limited by the model's context."""

from collections.abc import Callable

from wildcore import Prompt
from wildcore.models import LoadedModel, encode


def put_before(prompt: Prompt, question: str, text: str) -> Prompt:
    """Return ``prompt`` with ``text`` before it; in a conversation, before the question in it.

    A conversation is a prompt that ends where the answer begins, without a separator, as a chat template writes it.
    """
    place = 0 if prompt.separator else max(prompt.text.rfind(question), 0)
    return prompt.model_copy(update={"text": prompt.text[:place] + text + prompt.text[place:]})


def most_that_fit(model: LoadedModel, count: int, room: int, written: Callable[[int], Prompt]) -> int:
    """Return the largest number up to ``count`` of texts for which the prompt from ``written`` leaves ``room`` tokens.

    A prompt with more texts must be longer. Returns 0 if not even one fits; the prompt without texts may still be too long.
    """
    if model.max_length is None:
        return count
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        if len(encode(model.tokenizer, written(middle))) + room <= model.max_length:
            low = middle
        else:
            high = middle - 1
    return low
