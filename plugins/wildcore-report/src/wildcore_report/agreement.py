"""How far the metrics of a run that scored the same answers agree, people's labels among them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from wildcore import LOCALITY_KINDS
from wildcore.records.schema import ScoreRecord
from wildcore.scoring import Kappa, kappa
from wildcore.scoring.intervals import wilson

THRESHOLD = 0.5
"""A score from here on counts as correct."""


@dataclass
class PairAgreement:
    """Two metrics on the answers that both scored.

    ``counts`` has the answers by the verdicts of the first and the second metric. ``only_one`` counts those that one
    did not score.
    """

    first: str
    second: str
    counts: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    only_one: int = 0

    @property
    def both(self) -> int:
        """The number of answers that both scored."""
        return self.counts.total()

    @property
    def observed(self) -> float:
        """The share of equal verdicts."""
        return (self.counts[True, True] + self.counts[False, False]) / self.both

    @property
    def ends(self) -> tuple[float, float]:
        """The 95 % Wilson interval of that share, which takes answers as independent."""
        return wilson(self.observed, self.both)

    @property
    def kappa(self) -> Kappa:
        """Chance-corrected agreement."""
        verdicts = (True, False)
        return kappa([[self.counts[first, second] for second in verdicts] for first in verdicts])


def agreements(scores: Iterable[ScoreRecord]) -> list[PairAgreement]:
    """Compare each pair of metrics on the answers before and after the edits, without those to probes of locality. A metric with
    a value outside 0 to 1 gives no verdicts and is left out, as is a pair without an answer in common.
    """
    answers: dict[tuple[str, str, int, str, int], dict[str, float | None]] = defaultdict(dict)
    graded = set[str]()
    metrics: dict[str, None] = {}
    for score in scores:
        if score.kind in LOCALITY_KINDS or score.metric.partition("(")[0] == "extra-content":
            continue
        metrics[score.metric] = None
        for when, sample, value in _values(score):
            answers[score.case, score.protocol, score.probe, when, sample][score.metric] = value
            if value is not None and not 0 <= value <= 1:
                graded.add(score.metric)
    pairs = {pair: PairAgreement(*pair) for pair in combinations([one for one in metrics if one not in graded], 2)}
    for values in answers.values():
        for pair in combinations(values, 2):
            found = pairs.get(pair) or pairs.get((pair[1], pair[0]))
            if found is None:
                continue
            first, second = values[found.first], values[found.second]
            if first is None or second is None:
                found.only_one += (first is None) != (second is None)
            else:
                found.counts[first >= THRESHOLD, second >= THRESHOLD] += 1
    return [pair for pair in pairs.values() if pair.both]


def _values(score: ScoreRecord) -> Iterator[tuple[str, int, float | None]]:
    """Yield when each answer was given, its number, and its score."""
    for when, samples, value in (
        ("before", score.before_samples, score.before),
        ("after", score.after_samples, score.after),
    ):
        if len(samples) > 1:
            yield from ((when, number, sample.value) for number, sample in enumerate(samples))
        else:
            yield when, 0, value
