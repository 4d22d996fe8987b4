"""Extra content: what an answer says beyond the gold."""

from collections.abc import Sequence
from typing import Literal

from wildcore import AnsweredProbe, Score
from wildcore.equivalence import canonical
from wildcore.words import Segment, unicode_segments, word_texts
from wildcore_text_metrics.parameters import ExtraContentParams
from wildcore_text_metrics.places import find
from wildcore_text_metrics.segmenting import SegmentedMetric

Extra = Literal["none", "repetition", "other"]

ABSENT = "the gold is not in the answer"


class ExtraContent(SegmentedMetric):
    """1 if an answer that contains an accepted answer says more than that, else 0; ``details`` hold the extra text.

    The first accepted answer in the text is the answer; the rest is extra. The rest is a repetition if it consists only of
    accepted answers, the last perhaps cut off, and other text if it contains anything else. Whether that is true cannot be
    told by counting words.
    """

    def __init__(self, params: ExtraContentParams) -> None:
        super().__init__(params)
        self._counted = ("repetition", "other") if params.counts == "any" else (params.counts,)
        self._of = params.of

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item 0 or 1; an item without an accepted answer in it gets no value."""
        return [self._score(item) for item in items]

    def _score(self, item: AnsweredProbe) -> Score:
        text = canonical(item.answer.text if self._of == "answer" else item.answer.untruncated)
        place = find(text, item.answers, self.segment)
        if place is None:
            return Score(value=None, reason=ABSENT)
        before, after = text[: place[0]], text[place[1] :]
        kind = classify(before, after, item.answers, self.segment)
        return Score(value=float(kind in self._counted), details={"class": kind, "extra": (before + after).strip()})


def classify(before: str, after: str, accepted: Sequence[str], segment: Segment = unicode_segments) -> Extra:
    """Return whether the text around the first accepted answer contains no word, only accepted answers again, or anything
    else.
    """
    if word_texts(before, segment):
        return "other"
    said = " ".join(word_texts(after, segment))
    if not said:
        return "none" if find(after, accepted, segment) is None else "repetition"
    return "repetition" if repeats(said, [" ".join(word_texts(gold, segment)) for gold in accepted]) else "other"


def repeats(said: str, golds: Sequence[str]) -> bool:
    """Return whether ``said`` is a sequence of ``golds``, all normalised; the last may be cut off anywhere."""
    reached = {0}
    ahead = [0]
    while ahead:
        start = ahead.pop()
        for gold in golds:
            if gold.startswith(said[start:]):
                return True
            end = start + len(gold) + 1
            if gold and said[start:end] == f"{gold} " and end not in reached:
                reached.add(end)
                ahead.append(end)
    return False
