"""Where published code lets an answer end."""

from typing import ClassVar

from wildcore import Answer, Gold, Output
from wildcore_published.parameters import StripStopsParams


class StripStops:
    """Decoding ends with the first token that holds a stop string; what is taken off is a stop string at the very end.

    One pass over the stops, each once at most: of ".\\n" the "." stays, and a token such as ".S" or ".)" stays whole. Nothing
    else is cut, and no white space is removed.
    """

    reads_gold: ClassVar[bool] = False

    def __init__(self, params: StripStopsParams) -> None:
        self.stops = params.stops

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Say whether a stop string has been said."""
        return any(stop in text for stop in self.stops)

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Take the stop strings off the end. The token ids are all that was said."""
        text = output.text
        for stop in self.stops:
            text = text.removesuffix(stop)
        return Answer(text=text, token_ids=output.token_ids, output=output)
