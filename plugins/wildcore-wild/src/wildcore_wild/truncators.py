"""Rules for where an answer ends that do not know the gold's length."""

import re
from typing import ClassVar

from wildcore import Answer, Gold, Output
from wildcore.scripts import FULL_STOPS, GREEK, STOPS, UNSPACED
from wildcore_wild.parameters import SentenceParams, StopStringsParams

INITIAL_OR_TITLE = re.compile(
    r"(?:^|[\s(\"'.])(?:[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Ft|Sr|Jr|Gen|Col|Capt|Lt|Rev|Hon|vs|etc|Inc|Ltd|Co|Corp|e\.g|i\.e|approx|ca)$",
    re.UNICODE,
)
ASCII = re.escape(".!?")
CLOSERS = "\"')\\]\u201d\u2019\u00bb\u203a\u300d\u300f\uff09\u3011\u3009\u300b\uff3d\uff5d"
ENDING = re.compile(
    f"(?:[{ASCII}]|(?<=[{GREEK}])[;\u037e])+[{CLOSERS}]*(?=\\s)"
    f"|(?:(?<=[{UNSPACED}])[{ASCII}]|(?![{ASCII}])(?!(?<=\\d)\uff0e\\d)[{STOPS}])[{STOPS}]*[{CLOSERS}]*(?=[^{STOPS}{CLOSERS}])"
    "|\n"
)
"""The end of a sentence. Stops outside ASCII, and those after a letter of a script without spaces, need no space after them."""
FULL_STOPS_BEHIND = re.compile(f"(?:(?![{ASCII}])[{FULL_STOPS}]|(?<=[{UNSPACED}])\\.)+$")


class StopStrings:
    """The answer ends before the first stop string, which may begin inside a token; no part of the string is kept."""

    reads_gold: ClassVar[bool] = False

    def __init__(self, params: StopStringsParams) -> None:
        self.stops = params.stops
        self._skips = params.skip_leading_white_space

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether a stop string has been generated."""
        said = text.lstrip() if self._skips else text
        return any(stop in said for stop in self.stops)

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Cut the text at the first stop string. The token ids are all that were generated, including those of the stop
        string.
        """
        said = output.text.lstrip() if self._skips else output.text
        ends = [place for stop in self.stops if (place := said.find(stop)) >= 0]
        text = said[: min(ends, default=len(said))]
        return Answer(text=text.strip(), token_ids=output.token_ids, output=output)


class Sentence:
    """The answer is the first sentence or line, in any script.

    An ASCII full stop ends it only before white space, and not after a single letter, a title or an abbreviation ("J. S. Bach",
    "St. Moritz"); so "U.S." and "3.5" stay whole. Stops of other scripts, such as that of Chinese, end it whatever follows. This
    costs one more token, which shows what follows the stop.
    """

    reads_gold: ClassVar[bool] = False

    def __init__(self, params: SentenceParams | None = None) -> None:
        self._skips = params is not None and params.skip_leading_white_space

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether the first sentence has ended and something follows it."""
        return self._end(text) is not None

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Cut the text after the first sentence; its closing full stop is removed, unless it belongs to an abbreviation."""
        text = output.text[: self._end(output.text)].strip()
        if text.endswith(".") and not INITIAL_OR_TITLE.search(text[:-1]):
            text = text[:-1]
        return Answer(text=FULL_STOPS_BEHIND.sub("", text), token_ids=output.token_ids, output=output)

    def _end(self, text: str) -> int | None:
        """Return the index in ``text`` at which its first sentence ends; None: it goes on."""
        lead = len(text) - len(text.lstrip() if self._skips else text.lstrip(" \t"))
        for match in ENDING.finditer(text, lead):
            if match.group(0) == "\n":
                return match.start()
            if match.group(0) != "." or not _abbreviated(text[lead : match.start()]):
                return match.end()
        return None


def _abbreviated(text: str) -> bool:
    """Return whether ``text`` ends in an initial, a title or an abbreviation, which a full stop does not end."""
    return INITIAL_OR_TITLE.search(text) is not None and re.search(f"[{UNSPACED}]$", text) is None
