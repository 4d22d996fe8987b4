"""Phrases that a reader stumbles over stand in no source, message or document: the project uses the field's terms."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANNED = {
    "leave it out": r"(?:leave|leaves|leaving|left) [^.;,]{0,40}?(?<!-)\baway\b",
    "is bundled": r"(?:come|comes|came|coming) along",
    "N, or the number": r"so many",
    "is not one, or is invalid": r"(?:that|which) (?:is|are) none",
    "depends on": r"(?:hang|hangs|hung|hanging) (?:\w+ ){0,2}on\b",
    "resumed": r"(?:take|takes|taken|taking|took) up(?: \w+)? again|taken up",
    "the outcome of": r"what became of|became of the edits?",
    "padded, or padding": r"(?:fill|fills|filled|filling) up",
    "asks, or is asked": r"(?:put|puts|putting) (?:a|the|its|each|every|all) questions?\b(?! (?:after|before|in|behind))"
    r"|question is put\b|(?:is|are|was|were) put to the (?:\w+ )?model",
}
"""What to write, and a regular expression of what not to write; a space in it stands for any white space."""


def documents() -> Iterator[Path]:
    """Yield the source of the core and of the plugins, and every document; data in packages is no prose."""
    yield from (ROOT / "wildcore").rglob("*.py")
    yield from (ROOT / "plugins").glob("*/src/**/*.py")
    for folder in ("benchmarks", "changelog.d", "docs", "plugins", "tests", "wildcore"):
        yield from (ROOT / folder).rglob("*.md")
    yield from ROOT.glob("*.md")


def prose(text: str) -> str:
    """Return ``text`` without line breaks: also those between the lines of a comment, or of a string written in parts."""
    joined = re.sub(r'["\']?\s*\n\s*(?:# ?|[rf]?["\'](?!["\']))?', " ", text)
    return re.sub(r"\s+", " ", joined)


def found(phrase: str, text: str) -> list[str]:
    pattern = re.compile(phrase.replace(" ", r"\s+"), re.IGNORECASE)
    return [text[max(0, one.start() - 30) : one.end() + 30] for one in pattern.finditer(text)]


@pytest.mark.parametrize("instead", BANNED)
def test_a_banned_phrase_stands_nowhere(instead: str) -> None:
    bad = {
        str(file.relative_to(ROOT)): places
        for file in documents()
        if (places := found(BANNED[instead], prose(file.read_text(encoding="utf-8"))))
    }
    assert not bad, f"write {instead!r} instead: {bad}"


@pytest.mark.parametrize(
    "text",
    [
        "leave it away",
        "leave --out away",
        'f"trains nothing; leave it "\n        "away"',
        "leave {names} away, or choose",
        "a sample that comes\n    along",
        "a text that came along",
        "Draw so\n# many cases",
        "a file that is none.",
        "a folder, which is none",
        "What no number hangs on",
        "answers hang neither on the cache",
        "does not hang on rounding",
        "a run that is taken\n    up again",
        "work that can be taken up",
        "What became of the edits",
        "Filled up on the left",
        "rows are FILLED\nUP",
        "puts a question to the model",
        "the question is put as it was",
        "which is put to the edited model",
    ],
)
def test_the_phrases_are_recognised_in_all_their_forms(text: str) -> None:
    assert any(found(phrase, prose(text)) for phrase in BANNED.values())


@pytest.mark.parametrize(
    "text", ["left out", "take up memory", "the question put before it", "a row is padded", "so far"]
)
def test_ordinary_words_are_not_banned(text: str) -> None:
    assert not any(found(phrase, prose(text)) for phrase in BANNED.values())


def test_source_and_documents_are_looked_at() -> None:
    names = {str(file.relative_to(ROOT)) for file in documents()}
    assert {"README.md", "wildcore/interfaces.py", "plugins/wildcore-rome/README.md", "docs/notebook.md"} <= names
