"""Confidence intervals of means."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

NORMAL_95 = 1.959963984540054


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the mean of independent values; (None, None) for one value outside [0, 1]."""
    mean, count = fmean(values), len(values)
    if all(0 <= value <= 1 for value in values):
        return wilson(mean, count)
    if count < 2:
        return None, None
    spread = NORMAL_95 * stdev(values) / sqrt(count)
    return mean - spread, mean + spread


def wilson(mean: float, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval (Wilson 1927) of a proportion ``mean`` over ``count`` independent cases."""
    z = NORMAL_95
    centre = mean + z * z / (2 * count)
    spread = z * sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
