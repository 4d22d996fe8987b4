"""The mean of people's labels, estimated from a few labels and the verdicts of a judge on many answers."""

from collections.abc import Sequence
from math import sqrt

from wildcore.scoring.intervals import wilson
from wildcore.types import FrozenData


class CorrectedMean(FrozenData):
    """A prediction-powered estimate with its 95 % interval and its standard error.

    ``weight`` is how much the verdicts count, from 0, where the labels alone are used, to 1. ``labelled`` and ``unlabelled``
    count answers or clusters of them. ``low`` and ``high`` are None if labels other than 0 and 1 show no spread.
    """

    value: float
    low: float | None
    high: float | None
    standard_error: float
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
    one with the smallest variance, kept within 0 and 1.

    The published interval is the normal one, which is too narrow for few labels. Here the quantile is that of Student's t with
    one degree of freedom less than there are labels. If all labels are 0 or 1 the interval is Wilson's for the effective number
    of labels, the number that would give this variance without a judge; else it is symmetric. Estimate and interval are kept
    within 0 and 1 if all labels are. None: there are fewer than two labels or no other answers. Raises ``ValueError`` for
    different numbers of labels and verdicts.
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
    if _in_unit(labels):
        value = min(1.0, max(0.0, value))
    low, high = _interval(value, variance, labels)
    return CorrectedMean(
        value=value, low=low, high=high, standard_error=sqrt(variance), weight=weight, labelled=n, unlabelled=many
    )


def _interval(value: float, variance: float, labels: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    from scipy.special import stdtrit  # heavy

    quantile = float(stdtrit(len(labels) - 1, 0.975))
    if all(label in (0, 1) for label in labels):
        of_one = value * (1 - value)
        effective = of_one / variance if variance > 1e-18 and of_one > 0 else len(labels)
        return wilson(value, effective, quantile)
    if variance < 1e-18:
        return None, None
    spread = quantile * sqrt(variance)
    low, high = value - spread, value + spread
    return (max(0.0, low), min(1.0, high)) if _in_unit(labels) else (low, high)


def _in_unit(values: Sequence[float]) -> bool:
    return all(0 <= value <= 1 for value in values)
