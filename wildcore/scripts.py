"""What differs between scripts: whether words are separated by spaces, and which marks end a sentence."""

import re
import unicodedata
from typing import Literal

Separator = Literal["", " "]
"""The text between a prompt and its answer."""

SeparatorChoice = Literal["auto", "space", "none"]
"""How the separator is chosen: by the script of the prompt, always a space, or never one."""

SEPARATORS: dict[SeparatorChoice, Separator | None] = {"auto": None, "space": " ", "none": ""}
"""The separator of each choice; None: by the script of the prompt."""

EAST_ASIAN = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c"  # radicals, iteration marks, numerals
    "\u3040-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"  # Kana
    "\u3105-\u312f\u31a0-\u31bf\ua000-\ua48c"  # Bopomofo, Yi
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
)
SOUTHEAST_ASIAN = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f00\u0f18-\u0f39\u0f40-\u0fbc"  # Thai, Lao, Tibetan
    "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17d3\u17dc\u17dd"  # Khmer
    "\u1950-\u19df\u1a20-\u1a7f\uaa80-\uaadf\u1b05-\u1b4b\ua980-\ua9c0"  # Tai scripts, Balinese, Javanese
)
UNSPACED = EAST_ASIAN + SOUTHEAST_ASIAN
"""Ranges of letters, for a regular expression, of scripts that are written without spaces between words."""

UNSPACED_MARKS = "\u3001-\u3003\u3008-\u301f\uff01-\uff65\u0e46\u0e4f\u0e5a\u0e5b"
"""Ranges of other characters that only texts in these scripts have, such as the full-width question mark."""

FULL_STOPS = (
    ".\u3002\uff61\uff0e\ufe12\ufe52"  # ASCII; ideographic, its half-width, full-width, vertical and small form
    "\u0964\u0965\u06d4\u0589\u1362\u1368\u0700-\u0702"  # Devanagari, Arabic (Urdu), Armenian, Ethiopic, Syriac
    "\u104a\u104b\u17d4\u17d5\u0f0d-\u0f12\u1803\u1809\u166e\u1735\u1736"  # Myanmar, Khmer, Tibetan, Mongolian, others
    "\u1c7e\u1c7f\ua4ff\ua60e\ua6f3\ua876\ua877\ua8ce\ua8cf\ua9c8\ua9c9\uaa5d-\uaa5f\uabeb"
)
"""Marks that end a statement, as ranges for a regular expression (Unicode property Sentence_Terminal, and shads)."""

STOPS = (
    FULL_STOPS
    + "!?\uff01\uff1f\ufe56\ufe57\ufe15\ufe16\u061f\u061e\u203c\u203d\u2047-\u2049\u1367\u055c\u055e\ua60f\ua6f7"
)
"""Marks that end a sentence, as ranges for a regular expression: full stops, question and exclamation marks."""

GREEK = "\u0370-\u037d\u037f-\u0386\u0388-\u03ff\u1f00-\u1fff"
GREEK_QUESTION_MARK = re.compile(f"(?<=[{GREEK}]);|\u037e")
"""A semicolon after a Greek letter; U+037E is the same character in Unicode."""

CLOSING_STOPS = re.compile(f"(?:(?<=[{GREEK}]);|\u037e|[{STOPS}])+$")

UNSPACED_LETTER = re.compile(f"[{UNSPACED}]")
UNITS = re.compile(
    f"(?P<east>[{EAST_ASIAN}])|(?P<southeast>[{SOUTHEAST_ASIAN}])|(?P<mark>[{UNSPACED_MARKS}])"
    f"|(?P<word>\\w+?(?=[{UNSPACED}]|\\W|$))"
)
WORD_LENGTHS = {"east": 2.0, "southeast": 5.0, "mark": 2.0, "word": 1.0}
"""Characters of an average word in a script without spaces; elsewhere a word counts as one."""

OWN_STOPS: tuple[tuple[str, str], ...] = (
    (EAST_ASIAN, "\u3002"),
    ("\u0900-\u0dff", "\u0964"),
    ("\u1200-\u139f", "\u1362"),
    ("\u0530-\u058f", "\u0589"),
    ("\u1000-\u109f\uaa60-\uaa7f", "\u104b"),
    ("\u1780-\u17ff", "\u17d4"),
    ("\u0f00-\u0fff", "\u0f0d"),
)
"""Letters, as ranges for a regular expression, and the full stop that is written after them."""
URDU = re.compile("[\u0679\u067e\u0686\u0688\u0691\u06a9\u06af\u06ba\u06be\u06c1-\u06c3\u06cc\u06d2]")
ARABIC = re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff]")
WITHOUT_STOPS = re.compile("[\u0e00-\u0eff]")
"""Thai and Lao, which end a sentence with a space."""


def separator_after(text: str) -> Separator:
    """Return the separator of ``text`` and what follows it: nothing if its script has no spaces between words, else a space.

    If the text mixes scripts, its beginning and its end decide; if these differ, the script with more words.
    """
    units = [unit.lastgroup or "word" for unit in UNITS.finditer(text)]
    if not units:
        return " "
    first, last = (unit != "word" for unit in (units[0], units[-1]))
    if first == last:
        return "" if last else " "
    without = sum(1 / WORD_LENGTHS[unit] for unit in units if unit != "word")
    return "" if without > units.count("word") else " "


def own_stop(text: str) -> str:
    """Return the full stop of the script of the last letter of ``text``; empty for Thai and Lao, which have none."""
    letter = next((character for character in reversed(text) if unicodedata.category(character)[0] in "LM"), "")
    if WITHOUT_STOPS.match(letter):
        return ""
    if ARABIC.match(letter):
        return "\u06d4" if URDU.search(text) else "."
    return next((stop for letters, stop in OWN_STOPS if re.match(f"[{letters}]", letter)), ".")


def ends_in_full_stop(text: str) -> bool:
    """Return whether ``text`` ends in the full stop of any script."""
    return re.search(f"[{FULL_STOPS}]$", text) is not None


def without_closing_stops(text: str) -> str:
    """Return ``text`` without the marks that end its last sentence, in any script."""
    return CLOSING_STOPS.sub("", text.rstrip()).rstrip()
