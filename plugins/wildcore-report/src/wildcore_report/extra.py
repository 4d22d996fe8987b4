"""What answers say beyond the gold: classes by the metric extra-content, and what follows the answer that is scored."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wildcore.records.schema import ScoreRecord
from wildcore.scoring.scores import REFUSED

METRIC = "extra-content"
CLASSES = ("none", "repetition", "other")


@dataclass
class ExtraContent:
    """How many edited answers that contain the gold say nothing more, repeat it, or say something else.

    ``unscored`` counts the answers without the gold and others that the metric did not score, ``unclassed`` scored ones whose
    class is not recorded.
    """

    protocol: str
    kind: str
    metric: str
    classes: Counter[str] = field(default_factory=Counter)
    unscored: int = 0
    refused: int = 0
    unclassed: int = 0

    @property
    def scored(self) -> int:
        """The number of answers with a class."""
        return self.classes.total()


@dataclass(frozen=True)
class Continued:
    """What followed the answers to edit prompts that the protocol's first ``metric`` scores 1. ``example``: the text of the first
    that went on.
    """

    protocol: str
    metric: str
    held: int
    went_on: int
    ended: int
    unknown: int
    example: str | None

    @classmethod
    def counted(cls, protocol: str, metric: str, seen: Sequence[tuple[str, str]]) -> "Continued":
        """Return the counts of pairs of what followed and the text."""
        counts = Counter(after for after, _ in seen)
        example = next((text for after, text in seen if after == "went on"), None)
        return cls(protocol, metric, len(seen), counts["went on"], counts["ended"], counts["unknown"], example)


def extra_contents(scores: Iterable[ScoreRecord]) -> list[ExtraContent]:
    """Return the classes for each protocol and kind of probe, by each metric of this name with its parameters."""
    found: dict[tuple[str, str, str], ExtraContent] = {}
    groups: dict[tuple[str, str, str], list[ScoreRecord]] = defaultdict(list)
    for score in scores:
        if score.metric.partition("(")[0] == METRIC:
            groups[score.protocol, score.kind, score.metric].append(score)
    for key, of_key in groups.items():
        one = found.setdefault(key, ExtraContent(*key))
        for score in of_key:
            if score.after is None:
                one.refused += score.after_reason == REFUSED
                one.unscored += score.after_reason != REFUSED
                continue
            classes = [str(sample.details["class"]) for sample in score.after_samples if "class" in sample.details]
            one.classes.update(classes)
            one.unclassed += not classes
    return list(found.values())
