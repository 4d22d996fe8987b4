"""Rules for where an answer ends that do not know the gold's length."""

import re
from typing import ClassVar

from wildcore import Answer, Gold, Output
from wildcore_wild.parameters import StopStringsParams

INITIAL_OR_TITLE = re.compile(
    r"(?:^|[\s(\"'.])(?:[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Ft|Sr|Jr|Gen|Col|Capt|Lt|Rev|Hon|vs|etc|Inc|Ltd|Co|Corp|e\.g|i\.e|approx|ca)$",
    re.UNICODE,
)
ENDING = re.compile(r"([.!?]+[\"')\]]*)(?=\s)|\n")


class StopStrings:
    """The answer ends before the first stop string, which may begin inside a token; no part of the string is kept."""

    reads_gold: ClassVar[bool] = False

    def __init__(self, params: StopStringsParams) -> None:
        self.stops = params.stops

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether a stop string has been generated."""
        return any(stop in text for stop in self.stops)

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Cut the text at the first stop string. The token ids are all that were generated, including those of the stop
        string.
        """
        ends = [place for stop in self.stops if (place := output.text.find(stop)) >= 0]
        text = output.text[: min(ends, default=len(output.text))]
        return Answer(text=text.strip(), token_ids=output.token_ids, output=output)


class Sentence:
    """The answer is the first sentence or line.

    A full stop ends it only before white space, and not after a single letter, a title or an abbreviation ("J. S. Bach", "St.
    Moritz"); so "U.S." and "3.5" stay whole. This costs one more token, which shows what follows the stop.
    """

    reads_gold: ClassVar[bool] = False

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether the first sentence has ended and something follows it."""
        return _sentence_end(text) is not None

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Cut the text after the first sentence; its closing full stop is removed, unless it belongs to an abbreviation."""
        end = _sentence_end(output.text)
        text = (output.text if end is None else output.text[:end]).strip()
        if text.endswith(".") and not INITIAL_OR_TITLE.search(text[:-1]):
            text = text[:-1]
        return Answer(text=text, token_ids=output.token_ids, output=output)


def _sentence_end(text: str) -> int | None:
    lead = len(text) - len(text.lstrip(" \t"))
    for match in ENDING.finditer(text, lead):
        if match.group(0) == "\n":
            return match.start()
        if match.group(0) != "." or not INITIAL_OR_TITLE.search(text[lead : match.start()]):
            return match.end()
    return None
