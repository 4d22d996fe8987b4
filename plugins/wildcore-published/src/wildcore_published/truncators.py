"""Rules of published code for where an answer ends."""

from typing import ClassVar

from wildcore import Answer, Gold, Output
from wildcore_published.parameters import StripStopsParams


class StripStops:
    """Decoding ends with the first token that contains a stop string; a stop string is removed only at the very end.

    Each stop is tried once, in order: of ".\\n" the "." remains, and a token such as ".S" or ".)" stays whole. Nothing else is
    cut, and no white space is removed.
    """

    reads_gold: ClassVar[bool] = False

    def __init__(self, params: StripStopsParams) -> None:
        self.stops = params.stops

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether a stop string has been generated."""
        return any(stop in text for stop in self.stops)

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Remove the stop strings from the end. The token ids are all that were generated."""
        text = output.text
        for stop in self.stops:
            text = text.removesuffix(stop)
        return Answer(text=text, token_ids=output.token_ids, output=output)
