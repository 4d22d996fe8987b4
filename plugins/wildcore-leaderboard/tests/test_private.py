"""Paths of the machine are shortened, and nothing else is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_leaderboard.private import without_paths

names = st.text("abcdefgh._-", min_size=1, max_size=8).filter(lambda name: set(name) != {"."})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/someone/data/facts.json", "facts.json"),
        ("~/models/llama", "llama"),
        ("file:///home/someone/x", "x"),
        ("../other/facts.json", "facts.json"),
        ("C:\\Users\\someone\\model", "model"),
        ("'/home/someone/x.json' cannot be read, see /a/b", "'x.json' cannot be read, see b"),
        ("path=/home/someone/a.json; then", "path=a.json; then"),
    ],
)
def test_a_path_is_shortened_to_its_name(text: str, shown: str) -> None:
    assert without_paths(text) == shown


@pytest.mark.parametrize(
    "text", ["owner/model", "data/facts.json", "and/or", "1/2", "/", "\n", "http://localhost:8000/v1", "5 / 3", ""]
)
def test_other_texts_are_kept(text: str) -> None:
    assert without_paths(text) == text


def test_what_a_model_reads_is_kept() -> None:
    protocols = {"protocols": {"wild": {"template": "See /home/someone/x\nA:", "stops": ["/n", "\n"]}}}
    assert without_paths(protocols) == protocols


@given(st.lists(names, min_size=2, max_size=5))
def test_no_folder_is_left_of_an_absolute_path(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert without_paths({"a": [path], path: {"protocols": path}}) == {
        "a": [parts[-1]],
        parts[-1]: {"protocols": parts[-1]},
    }
