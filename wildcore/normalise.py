"""Comparison of answers: as in SQuAD (Rajpurkar et al., EMNLP 2016), carefully where that would lose a target's meaning, and
with look-alike characters folded.
"""

import re
import string
from typing import Literal

from wildcore.equivalence import canonical, fold_lookalikes
from wildcore.scripts import STOPS, without_closing_stops

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = str.maketrans("", "", string.punctuation)
LEADING_ARTICLE = re.compile(r"^(?:a|an|the) (?!(?:a|an|the)$)")

NUMBER = re.compile(r"(?:(?<![\w.,])[-+])?(?:\d+(?:[.,\u066b\u066c]\d+)*|(?<!\w)[.,]\d+)")
THOUSANDS = re.compile(r"\d{1,3}(?:[,\u066c]\d{2,3})*[,\u066c]\d{3}(?:[.\u066b]\d+)?")
SYMBOLS = re.compile(r"\w[+#*]+(?!\w)|(?<![\w.])\.(?=[^\W\d_])|(?<!\w)[A-Za-z]{1,2}-(?!\w)")
"""Symbols that belong to a name or a grade: "C++", "F#", ".NET", "A*", "AB-"."""
LETTER_A = re.compile(r"\w\W* A$")
"""A name that ends in the letter A, such as "Vitamin A", which is no article there."""

MARKS = "\u00ab\u00bb\u00bf\u00a1\u2018-\u201f\u2039\u203a\u3001\u3008-\u3011\uff08\uff09\uff0c\uff1a\uff1b\u060c\u061b"
"""Quotation marks, brackets and commas outside ASCII, as ranges for a regular expression."""
AT_AN_EDGE = f"[{re.escape(string.punctuation)}{MARKS}{STOPS}]"
BEFORE_A_WORD = re.compile(f"^(?:(?![-+][.,]?\\d|[.,]\\d|\\.[^\\W\\d_]){AT_AN_EDGE})+")
SYMBOL_BEHIND = re.compile(r"\w[+#*]+$|^[^\W\d_]{1,2}-$")
"""What belongs to a word although it is punctuation at its end: "C++", "F#", "A*", "B-"."""

Loss = Literal["empty", "number", "symbol"]
"""What SQuAD's normalisation makes of a text: nothing, another number, or another name."""


def squad_normalise(text: str) -> str:
    """Return ``text`` as SQuAD's script normalises it: in lower case, without ASCII punctuation, then without articles, with
    single white space.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def normalise(text: str) -> str:
    """Return ``text`` as ``squad_normalise`` does; texts that are equal in Unicode give the same result."""
    bare = canonical(canonical(text).lower().translate(PUNCTUATION))
    return " ".join(ARTICLES.sub(" ", bare).split())


def careful_normalise(text: str) -> str:
    """Return ``text`` in lower case with signs, decimal marks and symbols inside and after words kept.

    Other punctuation around a word is removed, and so are separators of thousands and an article before other words. The minus
    sign is the hyphen. Texts that are equal in Unicode give the same result.
    """
    words = canonical(text).lower().replace("\u2212", "-").split()
    bare = " ".join(filter(None, map(_without_surroundings, words))) or " ".join(words)
    return canonical(LEADING_ARTICLE.sub("", bare, count=1))


def meaning_lost(text: str) -> Loss | None:
    """Return what SQuAD's normalisation takes from a target: its only words, signs or decimal marks of numbers, or symbols of
    names. None: it takes nothing of these.
    """
    plain = canonical(text).replace("\u2212", "-").strip()
    if not without_closing_stops(normalise(plain)):
        return "empty"
    if _numbers(plain) != _numbers(normalise(plain)):
        return "number"
    return "symbol" if SYMBOLS.search(plain) or LETTER_A.search(plain) else None


def same(answer: str, gold: str) -> bool:
    """Compare two answers after normalisation; texts that are equal in Unicode are the same.

    Closing stops are ignored in every script, as SQuAD ignores the ASCII ones. If the normalisation takes something from the
    gold (``meaning_lost``), the two are compared carefully.
    """
    if meaning_lost(gold):
        return careful_same(answer, gold)
    return without_closing_stops(normalise(answer)) == without_closing_stops(normalise(gold))


def squad_same(answer: str, gold: str) -> bool:
    """Compare two answers exactly as SQuAD's script does."""
    return squad_normalise(answer) == squad_normalise(gold)


def careful_same(answer: str, gold: str) -> bool:
    """Compare two answers with signs, decimal marks and symbols kept (``careful_normalise``)."""
    return careful_normalise(answer) == careful_normalise(gold)


def folded_same(answer: str, gold: str) -> bool:
    """Compare two answers as ``same`` does, with look-alike characters made the same."""
    return same(fold_lookalikes(answer), fold_lookalikes(gold))


def _without_surroundings(word: str) -> str:
    bare = BEFORE_A_WORD.sub("", word)
    end = len(bare)
    while end and _removed_behind(bare[:end]):
        end -= 1
    return re.sub("[,\u066c]", "", bare[:end]) if THOUSANDS.fullmatch(bare[:end].lstrip("-+")) else bare[:end]


def _removed_behind(word: str) -> bool:
    """Return whether the last character of ``word`` is punctuation that does not belong to it."""
    return re.search(f"{AT_AN_EDGE}$", word) is not None and not SYMBOL_BEHIND.search(word)


def _numbers(text: str) -> list[str]:
    return [_value(number) for number in NUMBER.findall(text)]


def _value(number: str) -> str:
    """Return a number without separators of thousands and with a point as its decimal mark."""
    sign, digits = ("-" if number[0] == "-" else ""), number.lstrip("-+")
    if THOUSANDS.fullmatch(digits):
        digits = re.sub("[,\u066c]", "", digits)
    return sign + digits.replace(",", ".").replace("\u066b", ".")
