"""Which protocols the note on a chat template names."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from wildcore.jobs.chat import chat_note
from wildcore.registry import load_registry


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("a", "a does not use"),
        ("ab", "a and b do not use"),
        ("abc", "a, b and c do not use"),
        ("abcde", "a, b and 3 other protocols do not use"),
    ],
)
def test_a_note_names_few_protocols(names: str, said: str) -> None:
    protocols = [cast(Any, SimpleNamespace(name=name, asks_in_chat=False)) for name in names]
    model = cast(Any, SimpleNamespace(tokenizer=SimpleNamespace(chat_template="{{ messages }}")))
    note = chat_note(load_registry(), protocols, model)
    assert note is not None
    assert note[0] == f"this model has a chat template, which {said}"
