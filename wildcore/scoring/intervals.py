"""Confidence intervals of means."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

from wildcore.scoring.clusters import cluster_numbers, cluster_spread, cluster_sums, effective_clusters
from wildcore.types import FrozenData

NORMAL_95 = 1.959963984540054

Method = Literal["wilson", "t", "none"]


class Interval(FrozenData):
    """The 95 % interval of a mean, and its method. ``low`` and ``high`` are None if there is none."""

    low: float | None
    high: float | None
    method: Method


NO_INTERVAL = Interval(low=None, high=None, method="none")


def interval(values: Sequence[float], clusters: Sequence[object] | None = None) -> Interval:
    """Return the 95 % interval of the mean of ``values``, one for each case.

    Wilson's if all values are 0 or 1, else that of Student's t, which is cut off at 0 and 1 if all values lie between them.
    ``clusters`` names the cluster of each value: values of one cluster are not independent of each other, so t then has the
    cluster-robust standard error (``cluster_spread``), and one degree of freedom less than the effective number of clusters
    (``effective_clusters``), which for clusters of one size is their number. There is none for one value or one cluster, unless
    it is 0 or 1, and for equal values, which show no spread.
    """
    independent = clusters is None or len(set(clusters)) == len(values)
    if all(value in (0, 1) for value in values):
        if independent:
            return _wilson(values, len(values))
        if len(set(values)) == 1:
            return _wilson(values, len(set(clusters or ())))
    error, count = _standard_error(values, None if independent else clusters)
    if error < 1e-12:
        return NO_INTERVAL
    from scipy.special import stdtrit  # heavy

    mean, spread = fmean(values), float(stdtrit(max(1.0, count - 1), 0.975)) * error
    low, high = mean - spread, mean + spread
    if all(0 <= value <= 1 for value in values):
        low, high = max(0.0, low), min(1.0, high)
    return Interval(low=low, high=high, method="t")


def wilson(mean: float, count: float, z: float = NORMAL_95) -> tuple[float, float]:
    """Return the Wilson score interval (Wilson 1927) of a proportion ``mean`` over ``count`` independent cases.

    It is the 95 % interval for the quantile ``z`` of the normal distribution.
    """
    centre = mean + z * z / (2 * count)
    spread = z * sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _wilson(values: Sequence[float], count: int) -> Interval:
    low, high = wilson(fmean(values), count)
    return Interval(low=low, high=high, method="wilson")


def _standard_error(values: Sequence[float], clusters: Sequence[object] | None) -> tuple[float, float]:
    """Return the standard error of the mean of ``values``, and the effective number of independent ones; 0 without spread."""
    count = len(values)
    if count < 2:
        return 0.0, count
    if clusters is None:
        return stdev(values) / sqrt(count), count
    import numpy as np  # heavy

    sums, sizes = cluster_sums(np.array(values, dtype=np.float64), cluster_numbers(clusters))
    return cluster_spread(sums, sizes) / sqrt(len(sums)), effective_clusters(sizes)
