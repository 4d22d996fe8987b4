"""How the metrics find the words of texts in scripts without spaces."""

from wildcore import Environment, Metric, Segmenter
from wildcore.words import Segment, unicode_segments
from wildcore_text_metrics.parameters import UNICODE, SegmentedParams


class UnicodeSegmenter:
    """Splits a text at the word boundaries of Unicode (UAX #29): between all characters, except in Katakana."""

    def segment(self, text: str) -> list[str]:
        """Return the parts of ``text``."""
        return unicode_segments(text)


class SegmentedMetric(Metric):
    """Base of metrics on words, whose parameter ``segmenter`` names a plugin's segmenter."""

    def __init__(self, params: SegmentedParams | None = None) -> None:
        self._name = UNICODE if params is None else params.segmenter
        self.segment: Segment = unicode_segments

    def prepare(self, environment: Environment) -> None:
        """Make the segmenter. Raises ``UserError`` if no plugin offers it, or its package is not installed."""
        if self._name != UNICODE:
            segmenter: Segmenter = environment.segmenter(self._name)
            self.segment = segmenter.segment
