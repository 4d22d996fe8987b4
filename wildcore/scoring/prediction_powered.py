"""The mean of people's labels, estimated from a few labels and the verdicts of a judge on many answers."""

from collections.abc import Sequence
from math import sqrt

from wildcore.scoring.intervals import NORMAL_95
from wildcore.types import FrozenData


class CorrectedMean(FrozenData):
    """A prediction-powered estimate with its 95 % interval.

    ``weight`` is how much the verdicts count, from 0, where the labels alone are used, to 1. ``labelled`` and ``unlabelled``
    count answers or clusters of them. ``low`` and ``high`` are None if the values show no spread.
    """

    value: float
    low: float | None
    high: float | None
    weight: float
    labelled: int
    unlabelled: int


def corrected_mean(
    labels: Sequence[float], verdicts: Sequence[float], unlabelled: Sequence[float]
) -> CorrectedMean | None:
    """Return the mean of labels over all answers (PPI++: Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453, for the mean;
    prediction-powered inference: Angelopoulos et al., Science 382, 2023).

    ``labels`` and ``verdicts`` are of the same answers, ``unlabelled`` are verdicts on the others. The estimate is the mean of
    the labels, plus ``weight`` times the difference of the mean verdicts on the other answers and on these. The weight is the
    one with the smallest variance, kept within 0 and 1. The interval is the normal one, kept within 0 and 1 if all values are.
    None: there are fewer than two labels or no other answers. Raises ``ValueError`` for different numbers of labels and
    verdicts.
    """
    import numpy as np  # heavy

    if len(labels) != len(verdicts):
        raise ValueError(f"{len(labels)} labels cannot be compared with {len(verdicts)} verdicts")
    if len(labels) < 2 or not unlabelled:
        return None
    truth, judged, other = (np.array(values, dtype=np.float64) for values in (labels, verdicts, unlabelled))
    n, many = len(truth), len(other)
    spread = float(np.var(np.concatenate([judged, other]), ddof=1))
    covariance = float(np.mean((truth - truth.mean()) * (judged - judged.mean())))
    weight = min(1.0, max(0.0, covariance / ((1 + n / many) * spread))) if spread > 0 else 0.0
    value = float(weight * other.mean() + (truth - weight * judged).mean())
    of_others = float(np.var(other)) * weight**2 / many
    variance = of_others + float(np.var(truth - weight * judged, ddof=1)) / n
    low: float | None = value - NORMAL_95 * sqrt(variance)
    high: float | None = value + NORMAL_95 * sqrt(variance)
    if variance < 1e-18:
        low = high = None
    elif all(0 <= one <= 1 for values in (labels, verdicts, unlabelled) for one in values):
        value, low, high = min(1.0, max(0.0, value)), max(0.0, low or 0.0), min(1.0, high or 0.0)
    return CorrectedMean(value=value, low=low, high=high, weight=weight, labelled=n, unlabelled=many)
