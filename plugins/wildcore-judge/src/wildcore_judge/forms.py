"""The forms in which a judge's reply gives a verdict.

The reply is what follows the last end of a thought. It must end with a verdict that stands by itself: a line, a JSON object,
or a marked word. Whatever stands before it may be reasoning, but no other verdict.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from unicodedata import normalize

from wildcore.thoughts import split_thought

Verdict = Literal["CORRECT", "INCORRECT"]
Letters = Mapping[str, Verdict | None]
"""What each letter means. None: the prompt gives it a meaning that is no verdict. The key "GRADE: C" is the letter C with the
label "Grade" before it."""

LETTERS: Letters = {"A": "CORRECT", "B": "INCORRECT", "GRADE: C": "CORRECT", "GRADE: I": "INCORRECT"}
"""The letters of published prompts, for a prompt that defines none: A and B stand by themselves, C and I after "GRADE:"."""

WORDS: Mapping[str, Verdict] = {"CORRECT": "CORRECT", "INCORRECT": "INCORRECT"}
LABEL = r"""(?:(?:SO|THUS|HENCE|THEREFORE),?\ )?(?:(?:MY|THE)\ )?(?:FINAL\ |OVERALL\ )?
    (?P<label>VERDICT|GRADE|ANSWER|JUDGE?MENT|DECISION|CONCLUSION|RATING|RESULT|ASSESSMENT|EVALUATION)
    (?:\ IS)?\s*[:=-]\s*"""
FORM = re.compile(
    rf"""(?:{LABEL})?
    (?:[(\[]?(?P<letter>[A-Z])[)\]]? | (?:[(\[]?(?P<before>[A-Z])[\s:.)\]=-]+)?[(\[]?(?P<word>INCORRECT|CORRECT)[)\]]?)
    [.!]?""",
    re.VERBOSE,
)
MARKED = re.compile(
    r"\\boxed\{\s*(?:\\(?:text|textbf|textit|mathrm|mathbf)\{([^{}]*)\}|([^{}]*))\s*\}"
    r"|\[\[([^\[\]]*)\]\]"
    r"|<(?i:verdict|grade|answer|judge?ment)>([^<>]*)</(?i:verdict|grade|answer|judge?ment)>"
)
"""A verdict marked by its surroundings, as models trained on mathematics or on comparisons write it."""
AFTER_MARKED = re.compile(r"[\s$.)\]\\]*")
EMPHASIS = re.compile("[*_`'\"\u00ab\u00bb]")
LINE_START = re.compile(r"\A[\s#>•-]+")
FENCE = re.compile(r"^\s*```\w*\s*$\n?", re.MULTILINE)
ASCII = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | dict.fromkeys("\u201c\u201d", '"'))
"""Dashes and quotation marks."""
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
OBJECT_START = re.compile(r"^[ \t]*\{", re.MULTILINE)
OBJECTS_TRIED = 10
VERDICT_IN_OBJECT = re.compile(r'"(?:verdict|grade)"\s*:\s*"(\w+)"', re.IGNORECASE)
LONGEST_LINE = 80
"""A line with more characters is no verdict by itself."""

BETWEEN = r"for|if|when|means|is|are|the|it|this|that|your|an?|answers?|response|fully|completely|entirely"
DEFINITION = re.compile(
    r"(?<!\w)(?<!\w')([A-Z])(?:[\"')\].:=-]|\s(?=(?:for|if|when|means|[=:-])(?:\s|\b)))+\s*"
    rf"(?:(?i:{BETWEEN})\s+)*[\"'(\[]*(?i:(not[ _](?:attempted|correct|right)|[a-z]+))"
)
"""A letter and its meaning in a prompt: 'A: CORRECT', '"C" for correct', 'B if the answer is wrong'."""
MEANINGS: Mapping[str, Verdict | None] = {
    **dict.fromkeys(("correct", "right", "true", "yes"), "CORRECT"),
    **dict.fromkeys(("incorrect", "wrong", "false", "no", "not correct", "not right"), "INCORRECT"),
    **dict.fromkeys(("not attempted", "partial", "partially", "unclear", "unsure", "unknown", "neither"), None),
}


def letters_of(prompt: str) -> Letters:
    """Return the meaning of each letter that a judge may reply with, as its prompt defines them; else the usual ones.

    A letter that a prompt defines in two ways means nothing.
    """
    found: dict[str, Verdict | None] = {}
    for letter, word in DEFINITION.findall(_plain(prompt)):
        name = word.lower().replace("_", " ")
        if name in MEANINGS:
            meaning = MEANINGS[name]
            found[letter] = meaning if found.get(letter, meaning) == meaning else None
    if {"CORRECT", "INCORRECT"} <= set(found.values()):
        return found
    return {**LETTERS, **found, **{f"GRADE: {letter}": meaning for letter, meaning in found.items()}}


def read_verdict(text: str, letters: Letters = LETTERS) -> Verdict | None:
    """Return the verdict that ``text`` ends with. None: it does not end with one, or gives another one before it."""
    reply = FENCE.sub("", _plain(split_thought(text).reply)).strip()
    verdict = _at_the_end(reply, letters)
    return verdict if verdict and all(other == verdict for other in _all(reply, letters)) else None


def ends_with_an_object(reply: str) -> bool:
    """Return whether a reply ends with a JSON object that gives a verdict."""
    pairs = _last_object(FENCE.sub("", _plain(reply)).strip())
    return pairs is not None and _of_object(pairs, LETTERS) is not None


def _plain(text: str) -> str:
    """Return a text without invisible characters, and with typographic ones as ASCII."""
    return INVISIBLE.sub("", normalize("NFKC", text)).translate(ASCII)


def _at_the_end(reply: str, letters: Letters) -> Verdict | None:
    if reply.endswith("}") and (pairs := _last_object(reply)) is not None:
        return _of_object(pairs, letters)
    marked = list(MARKED.finditer(reply))
    if marked and AFTER_MARKED.fullmatch(reply, marked[-1].end()):
        return _of_marked(marked[-1], letters)
    return _of_line(reply.rpartition("\n")[2], letters)


def _all(reply: str, letters: Letters) -> Iterator[Verdict]:
    """Yield every verdict of a reply, wherever it stands."""
    found = [_of_line(line, letters) for line in reply.splitlines()]
    found += [_of_marked(match, letters) for match in MARKED.finditer(reply)]
    found += [_of_line(match[1], letters) for match in VERDICT_IN_OBJECT.finditer(reply)]
    yield from (verdict for verdict in found if verdict)


def _of_line(line: str, letters: Letters) -> Verdict | None:
    if len(line) > LONGEST_LINE:
        return None
    found = FORM.fullmatch(LINE_START.sub("", EMPHASIS.sub("", line)).strip().upper()) if line else None
    if found is None:
        return None
    said: set[Verdict | None] = {WORDS[found["word"]]} if found["word"] else set()
    for letter in filter(None, (found["letter"], found["before"])):
        said.add(letters.get(f"{found['label']}: {letter}", letters.get(letter)))
    return said.pop() if len(said) == 1 else None


def _of_marked(found: re.Match[str], letters: Letters) -> Verdict | None:
    return _of_line(next(filter(None, found.groups()), ""), letters)


def _last_object(text: str) -> list[tuple[str, Any]] | None:
    """Return the names and values of the JSON object that ``text`` ends with; it begins a line."""
    starts = [found.start() for found in OBJECT_START.finditer(text)]
    for start in reversed(starts[-OBJECTS_TRIED:]):
        try:
            pairs = json.loads(text[start:], object_pairs_hook=list)
        except (ValueError, RecursionError):
            continue
        return list(pairs)
    return None


def _of_object(pairs: list[tuple[str, Any]], letters: Letters) -> Verdict | None:
    said: set[Verdict | None] = set()
    for name, value in pairs:
        if name.lower() in ("verdict", "grade"):
            said.add(_of_line(f"{name}: {value}", letters) if isinstance(value, str) else None)
        elif name.lower() in ("correct", "is_correct") and isinstance(value, bool):
            said.add("CORRECT" if value else "INCORRECT")
    return said.pop() if len(said) == 1 else None
