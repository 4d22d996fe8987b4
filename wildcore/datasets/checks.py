"""Checks of every case of a dataset: edits that repeat or contradict others, missing subjects, residue of markup."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from wildcore.datasets.rows import STRAY_WHITE_SPACE
from wildcore.equivalence import (
    APOSTROPHES,
    DASHES,
    canonical,
    count_occurrences,
    missing_subject,
    mixed_scripts,
    named,
)
from wildcore.normalise import meaning_lost, normalise, same
from wildcore.scripts import UNSPACED
from wildcore.types import EditCase, FrozenData

EXAMPLES_KEPT = 3

FULL_WIDTH = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
LOOKALIKE = re.compile(f"(?![!-~])[{APOSTROPHES}{DASHES}\u201c-\u201f]|{FULL_WIDTH.pattern}")
"""Apostrophes, dashes and quotation marks outside ASCII, and full-width letters and digits."""

WHITE_SPACE = re.compile(r"\s\s|[^\S ]|[\u200b\u200e\u200f\u2060\ufeff]")
RESIDUE = re.compile(
    r"<[a-z/!][^<>]*>"  # HTML tags
    r"|&(?:[a-z]{2,8}|#\d+|#x[0-9a-f]+);"  # HTML entities
    r"|\[(?:\d+|[a-z]|note \d+|citation needed)\](?![a-z])"  # footnote marks, but not the "[T]he" of a quotation
    r"|\||\[\[|\]\]|\{\{|\}\}"  # wiki tables, links and templates
    r"|[†‡\ufffd]"  # daggers, and the replacement character
    r"|\s[*^#~]+$",  # a mark that refers to a footnote
    re.IGNORECASE,
)


class Example(FrozenData):
    """A case, and what was found in it."""

    case: str
    text: str


class Finding(FrozenData):
    """The result of one check: in how many cases something was found, their share of all, and the first of them."""

    name: str
    meaning: str
    count: int
    share: float
    examples: tuple[Example, ...]


Check = Callable[[EditCase], str | None]
"""Returns what it found in a case, ready to be shown, or None."""


@dataclass
class _Check:
    """One check and its findings."""

    name: str
    meaning: str
    check: Check
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def take(self, case: EditCase) -> None:
        text = self.check(case)
        if text is not None:
            self.count += 1
            if len(self.examples) < EXAMPLES_KEPT:
                self.examples.append(Example(case=case.id, text=text))


class Checks:
    """All checks, and what they have found so far."""

    def __init__(self) -> None:
        self.cases = 0
        self._earlier = _Earlier()
        self._searches = _searches(self._earlier)

    def take(self, case: EditCase) -> None:
        """Check one more case."""
        self.cases += 1
        for search in self._searches:
            search.take(case)
        self._earlier.remember(case)

    def findings(self) -> Iterator[Finding]:
        """Yield the results of all checks, including those that found nothing."""
        for search in self._searches:
            yield Finding(
                name=search.name,
                meaning=search.meaning,
                count=search.count,
                share=search.count / self.cases,
                examples=tuple(search.examples),
            )


@dataclass(frozen=True)
class _Edit:
    case: str
    target: str
    accepted: frozenset[str]


@dataclass
class _Earlier:
    """The edits seen so far, by prompt. Prompts and answers are compared without case and with single white space."""

    edits: dict[str, list[_Edit]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)

    def same_id(self, case: EditCase) -> str | None:
        return _shown(case) if case.id in self.ids else None

    def repeated(self, case: EditCase) -> str | None:
        return self._first(case, lambda other, accepted: bool(other.accepted & accepted))

    def contradicted(self, case: EditCase) -> str | None:
        return self._first(case, lambda other, accepted: not other.accepted & accepted)

    def remember(self, case: EditCase) -> None:
        edit = _Edit(case.id, case.request.target, _accepted(case))
        self.edits.setdefault(folded(case.request.prompt), []).append(edit)
        self.ids.add(case.id)

    def _first(self, case: EditCase, fits: Callable[[_Edit, frozenset[str]], bool]) -> str | None:
        accepted = _accepted(case)
        for other in self.edits.get(folded(case.request.prompt), ()):
            if fits(other, accepted):
                return f"{_shown(case)}; case {other.case}: {other.target}"
        return None


def _searches(earlier: _Earlier) -> list[_Check]:
    return [
        _Check("same id", "as an earlier case; eval refuses such a dataset", earlier.same_id),
        _Check("repeated edit", "prompt and an accepted answer are those of an earlier case", earlier.repeated),
        _Check("contradictory edit", "an earlier case has the prompt and no such answer", earlier.contradicted),
        _Check("no subject", "editors that need one refuse the edit", _no_subject),
        _Check("subject not in the prompt", "editors that need one refuse the edit", _subject_missing),
        _Check("subject repeated in the prompt", "the last one is edited", _subject_repeated),
        _Check("target in the prompt", "as whole words; it can be copied", _target_in_prompt),
        _Check("old answer accepted", "normalised, the ground truth is an accepted answer", _old_accepted),
        _Check("meaning lost", "exact match would normalise it to nothing, another number or name", _meaning_lost),
        _Check("no word", "it has neither letter nor digit for metrics on words", _no_word),
        _Check("look-alike characters", "apostrophes, dashes, full width; models may write others", _lookalikes),
        _Check(
            "other Unicode form",
            "not NFC; answers are read in NFC, prompts as they are",
            _not_canonical,
        ),
        _Check("white space", "stray or doubled; line breaks, tabs, invisible characters", _white_space),
        _Check("residue", "marks of HTML, wikis or footnotes; undecodable characters", _residue),
    ]


def _accepted(case: EditCase) -> frozenset[str]:
    return frozenset(folded(answer) for answer in (case.request.target, *case.request.aliases))


def folded(text: str) -> str:
    """Return ``text`` as it is compared in prompts and answers: without case, with single white space, in one Unicode form."""
    return " ".join(canonical(canonical(text).casefold()).split())


def _shown(case: EditCase) -> str:
    return f"{case.request.prompt} -> {case.request.target}"


def _no_subject(case: EditCase) -> str | None:
    return None if (case.request.subject or "").strip() else _shown(case)


def _subject_missing(case: EditCase) -> str | None:
    return _with_subject(case) if _occurrences(case) == 0 else None


def _subject_repeated(case: EditCase) -> str | None:
    return _with_subject(case) if (_occurrences(case) or 0) > 1 else None


def _occurrences(case: EditCase) -> int | None:
    """Count the occurrences of the subject in the prompt as editors do, in any Unicode form; None without a subject."""
    wanted = (case.request.subject or "").strip()
    return count_occurrences(case.request.prompt, wanted) if wanted else None


def _with_subject(case: EditCase) -> str:
    subject, prompt = case.request.subject or "", case.request.prompt
    near = "" if _occurrences(case) else missing_subject(prompt, subject.strip())
    return f"{subject!r}: {prompt}{near}"


def _target_in_prompt(case: EditCase) -> str | None:
    target = folded(case.request.target)
    before, after = ("" if re.match(f"[{UNSPACED}]", edge) else r"\w" for edge in (target[:1], target[-1:]))
    words = (rf"(?<!{before})" if before else "") + re.escape(target) + (rf"(?!{after})" if after else "")
    return _shown(case) if re.search(words, folded(case.request.prompt)) else None


def _meaning_lost(case: EditCase) -> str | None:
    loss = meaning_lost(case.request.target)
    return f"{_shown(case)}; compared as {normalise(case.request.target)!r}" if loss else None


def _no_word(case: EditCase) -> str | None:
    return None if any(character.isalnum() for character in case.request.target) else _shown(case)


def _lookalikes(case: EditCase) -> str | None:
    for place, text in _texts(case):
        usual = re.search(f"[{UNSPACED}]", text)  # quotation marks and dashes outside ASCII are the usual ones there
        character = (FULL_WIDTH if usual else LOOKALIKE).search(text)
        if character:
            return f"{named(character.group())} in {place}: {text}"
        word = mixed_scripts(text)
        if word:
            return f"{word!r} mixes letters of scripts that look alike in {place}: {text}"
    return None


def _not_canonical(case: EditCase) -> str | None:
    return next((f"{place}: {text}" for place, text in _texts(case) if canonical(text) != text), None)


def _old_accepted(case: EditCase) -> str | None:
    old, request = case.request.ground_truth, case.request
    if old is None or not any(same(old, answer) for answer in (request.target, *request.aliases)):
        return None
    return f"{_shown(case)}; ground truth: {old}"


def _white_space(case: EditCase) -> str | None:
    stripped = case.tags.get(STRAY_WHITE_SPACE)
    return f"around {stripped}: {_shown(case)}" if stripped else _first_with(WHITE_SPACE, case)


def _residue(case: EditCase) -> str | None:
    return _first_with(RESIDUE, case)


def _first_with(pattern: re.Pattern[str], case: EditCase) -> str | None:
    for place, text in _texts(case):
        match = pattern.search(text)
        if match:
            return f"{match.group()!r} in {place}: {text}"
    return None


def _texts(case: EditCase) -> Iterator[tuple[str, str]]:
    """Yield every text of a case with its place."""
    request = case.request
    yield from (("prompt", request.prompt), ("target", request.target))
    yield from ((place, text) for place in ("subject", "ground_truth") if (text := getattr(request, place)))
    yield from (("aliases", alias) for alias in request.aliases)
    for probe in case.probes:
        yield f"{probe.kind} prompt", probe.prompt
        yield from ((f"{probe.kind} answers", answer) for answer in probe.answers)
