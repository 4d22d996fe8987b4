"""Which replies are verdicts."""

import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.forms import LETTERS, letters_of, read_verdict
from wildcore_judge.prompt import BUILT_IN
from wildcore_judge.verdict import Judgement, Reply, judged, unscored

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
REASONING = "The gold is Paris. I first took the answer for Rome, but it says Paris, so A or B is easy."
ENDS = [
    "CORRECT",
    "A",
    "**CORRECT**",
    "GRADE: C",
    "Grade: **C**",
    "GRADE: CORRECT",
    "Final answer: **CORRECT**",
    "**Final Answer:** A",
    "Verdict: A: CORRECT",
    "### Final verdict\n\nCORRECT",
    "> Verdict = CORRECT.",
    "- **Judgement:** CORRECT",
    "So the final verdict is: CORRECT",
    "Verdict \u2014 CORRECT",
    "Verdict\uff1a\uff23\uff2f\uff32\uff32\uff25\uff23\uff34",
    "\\boxed{A}",
    "The final verdict is $\\boxed{\\text{CORRECT}}$.",
    "\\[\\boxed{CORRECT}\\]",
    "[[A]]",
    "My decision is [[CORRECT]].",
    "<verdict>CORRECT</verdict>",
    "<answer>\nA\n</answer>",
    '{"verdict": "CORRECT"}',
    '```json\n{\n  "reason": "the same town",\n  "verdict": "CORRECT"\n}\n```',
    '{"grade": "CORRECT", "details": {"town": 1}}',
    '{"grade": "C"}',
    '{"correct": true}',
    "\u200bCORRECT\u200b",
    "GRADE: CORRECT\n\nTherefore:\n\nGRADE: CORRECT",
]
"""Ways to end a reasoning with the verdict CORRECT."""
ONE_LINE = [form for form in FORMS if "\n{" not in form]
UNCLEAR = [
    "C",
    "I",
    "C: CORRECT",
    "NOT_ATTEMPTED",
    "GRADE: P",
    "GRADE: C or I",
    "GRADE: B\n\nGRADE: C",
    "CORRECT\nOn second thoughts:\nINCORRECT",
    "\\boxed{A} or \\boxed{B}",
    "\\boxed{A}\nIt may also be B.",
    "[[A]] [[B]]",
    "<verdict>A</verdict><verdict>B</verdict>",
    "Verdict: not CORRECT",
    "Final answer: CORRECT or INCORRECT",
    "Final answer: Paris",
    '{"verdict": "CORRECT", "correct": false}',
    '{"grade": "A", "verdict": "B"}',
    '{"verdict": "B"}\n```json\n{\n"verdict": "A"\n}\n```',
    '{"correct": "true"}',
    '{"verdict": "CORRECT", "nested": ' + "[" * 100_000,
    '{"a":' * 100_000 + '{"verdict": "A"}',
    "Well.\n" * 100_000,
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


@pytest.mark.parametrize("end", ENDS)
def test_the_verdict_behind_a_reasoning(end: str) -> None:
    assert read_verdict(f"{REASONING}\n\n{end}") == "CORRECT"
    assert read_verdict(end) == "CORRECT"
    assert read_verdict(f"<think>B\nINCORRECT</think>{REASONING}\n{end}\n") == "CORRECT"


@pytest.mark.parametrize("end", ENDS)
def test_a_verdict_that_another_contradicts_or_follows_is_none(end: str) -> None:
    other = end.replace("CORRECT", "INCORRECT")
    for first in ("B", "GRADE: I", '{"verdict": "INCORRECT"}', "\\boxed{B}"):
        assert read_verdict(f"{first}\n\n{REASONING}\n\n{end}") is None
    assert other == end or read_verdict(f"{REASONING}\n{end}\n{other}") is None
    assert read_verdict(f"{end}\n\n{REASONING}") is None
    assert read_verdict(f"<think>{REASONING}\n{end}") is None


OPEN_PROMPTS = {
    "A: CORRECT\nB: INCORRECT\nC: NOT_ATTEMPTED\nReturn the letter.": {"A": 1, "B": 0, "C": None, "GRADE: C": None},
    'Choose either "C" for correct answers, or "I" for incorrect answers.': {"C": 1, "I": 0, "A": None, "GRADE: I": 0},
    "\u201cC\u201d for fully correct answers, 'P' for partially correct ones, 'I' for wrong ones": {
        "C": 1,
        "P": None,
        "I": 0,
    },
    "Reply A if the answer is correct and B if it is not correct.": {"A": 1, "B": 0, "GRADE: C": None},
    "A = wrong, B = right": {"A": 0, "B": 1},
    "Say (A) incorrect, or (B) correct.": {"A": 0, "B": 1},
    "A: correct. Or A: incorrect?": {"A": None},
    "A wrong answer is INCORRECT, and I mean right. Q: {question} A: {answer}": {"A": 1, "B": 0, "C": None},
}


@pytest.mark.parametrize("prompt", OPEN_PROMPTS)
def test_letters_mean_what_the_prompt_says(prompt: str) -> None:
    letters = letters_of(prompt)
    for said, value in OPEN_PROMPTS[prompt].items():
        verdict = read_verdict(f"{REASONING}\n{said}", letters)
        assert (verdict and float(verdict == "CORRECT")) == value, said


def test_the_prompt_of_the_plugin_gives_letters_no_other_meaning() -> None:
    assert BUILT_IN.letters == LETTERS


def test_of_reasons_that_quote_differently_one_is_shown() -> None:
    judgements = [judged(Reply(text=text)) for text in ("Well.", "Hm.", "A")] + [Judgement(why="budget reached")]
    assert unscored(judgements) == "3 are not judged: 2 unclear reply: 'Well.'; 1 budget reached"


@given(st.sampled_from(FORMS), st.sampled_from(["A", "B"]), st.sampled_from(["CORRECT", "INCORRECT"]))
def test_letter_and_word_that_contradict_each_other_are_no_verdict(form: str, letter: str, word: str) -> None:
    agree = (letter == "A") == (word == "CORRECT")
    both = "{letter}" in form and "{word}" in form
    assert (read_verdict(form.format(letter=letter, word=word)) is None) == (both and not agree)


@given(st.sampled_from(ONE_LINE), st.from_regex(r"\A[a-z]{2,9}( [a-z]{2,9}){2,5}\Z"), st.booleans())
def test_a_lecture_in_the_same_line_is_no_verdict(form: str, lecture: str, before: bool) -> None:
    said = form.format(letter="A", word="CORRECT")
    assert read_verdict(f"{lecture} {said}" if before else f"{said} {lecture}") is None


@given(st.text())
def test_any_text_is_read_without_a_fall(text: str) -> None:
    verdict = read_verdict(text)
    assert verdict is None or re.search("[abci]", unicodedata.normalize("NFKC", text), re.IGNORECASE)


def test_a_reply_that_was_cut_off_is_no_verdict() -> None:
    assert Reply(text="A").verdict == "CORRECT"
    cut = judged(Reply(text="A", cut_off=True))
    assert cut.reason == "unclear reply: cut off at max_tokens: 'A'"
    assert judged(Reply(text="A")).reason is None
