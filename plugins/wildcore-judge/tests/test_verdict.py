"""Which replies are verdicts."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.verdict import Reply, judged, read_verdict

FORMS = [
    "{letter}",
    "{letter}.",
    "({letter})",
    "{letter}: {word}",
    "{letter}. {word}",
    "{letter}) {word}",
    "({letter}) {word}",
    "{letter} - {word}.",
    "{letter} {word}",
    "{letter} ({word})",
    "**{letter}**: {word}",
    "{word}",
    "{word}.",
    "{word}!",
    " {word}\n",
    "**{word}**",
    "__{word}__",
    "`{word}`",
    '"{word}"',
    "Verdict: {word}",
    "Answer: {letter}",
    "Grade: **{letter}: {word}**",
    "Final verdict: {word}.",
    '{{"verdict": "{word}"}}',
    '{{"verdict":"{letter}"}}',
    '```json\n{{"verdict": "{word}"}}\n```',
    '```json\n{{"verdict": "{word}"}}',
    '```\n{{\n  "verdict": "{word}"\n}}\n```\n',
    '{{"verdict": "{word}", "reason": "neither CORRECT nor INCORRECT is easy to say"}}',
    '<think>A: CORRECT? B: INCORRECT?</think>\n\n{{"verdict": "{word}"}}',
]
UNCLEAR = [
    "",
    " ",
    "AB",
    "A B",
    "A or B",
    "A: INCORRECT",
    "B: CORRECT",
    "B (CORRECT)",
    "CORRECT INCORRECT",
    "CORRECT\n\nINCORRECT",
    "not correct",
    "NOT CORRECT",
    "in correct",
    "C",
    "A correct answer would be Rome",
    "The answer is correct.",
    "Apparently",
    "CORRECTLY",
    "ACORRECT",
    "AINCORRECT",
    "1",
    "yes",
    "{}",
    "[]",
    '"verdict"',
    '{"verdict": null}',
    '{"verdict": true}',
    '{"verdict": ["CORRECT"]}',
    '{"verdict": "CORRECT"',
    '{"verdict": "CORR',
    '{"verdict": "CORRECT", "verdict": "INCORRECT"}',
    '{"verdict": "CORRECT"} {"verdict": "INCORRECT"}',
    '{"verdict": "CORRECT"}\nThe answer matches.',
    '{"judgement": "CORRECT"}',
    "<think>CORRECT</think>",
    "<think>CORRECT",
    "A: CORRECT\nB: INCORRECT",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("letter", "word"), [("A", "CORRECT"), ("B", "INCORRECT")])
@pytest.mark.parametrize("case", [str, str.lower, str.capitalize])
def test_unmistakable(form: str, letter: str, word: str, case: Callable[[str], str]) -> None:
    assert read_verdict(form.format(letter=case(letter), word=case(word))) == word


@pytest.mark.parametrize("text", UNCLEAR)
def test_unclear(text: str) -> None:
    assert read_verdict(text) is None


@given(st.sampled_from(FORMS), st.sampled_from(["A", "B"]), st.sampled_from(["CORRECT", "INCORRECT"]))
def test_letter_and_word_that_contradict_each_other_are_no_verdict(form: str, letter: str, word: str) -> None:
    agree = (letter == "A") == (word == "CORRECT")
    both = "{letter}" in form and "{word}" in form
    assert (read_verdict(form.format(letter=letter, word=word)) is None) == (both and not agree)


@given(st.sampled_from(FORMS), st.from_regex(r"\A[a-z]{2,9}( [a-z]{2,9}){2,5}\Z"), st.booleans())
def test_a_lecture_is_no_verdict(form: str, lecture: str, before: bool) -> None:
    said = form.format(letter="A", word="CORRECT")
    assert read_verdict(f"{lecture} {said}" if before else f"{said} {lecture}") is None


@given(st.text())
def test_any_text_is_read_without_a_fall(text: str) -> None:
    verdict = read_verdict(text)
    assert verdict is None or re.search(r"[abAB]|correct", text, re.IGNORECASE)


def test_a_reply_that_was_cut_off_is_no_verdict() -> None:
    assert Reply(text="A").verdict == "CORRECT"
    cut = judged(Reply(text="A", cut_off=True))
    assert cut.reason == "unclear reply: cut off at max_tokens: 'A'"
    assert judged(Reply(text="A")).reason is None
