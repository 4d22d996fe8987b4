"""Bootstrap intervals of means over clusters of cases, from resamples that many differences share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 2_000
SEED = 20250215
"""Seed of every draw, so that the same scores always have the same interval."""
TAILS = (0.025, 0.975)
BATCH = 250
"""Number of resamples that are drawn, or multiplied, at once."""


class Resamples:
    """How often each of a number of clusters occurs in each of 2,000 resamples.

    The resamples of the latest number of clusters are kept: differences over the same cases need them drawn only once, and are
    the same as if each drew its own.
    """

    def __init__(self) -> None:
        self._kept: tuple[int, NDArray[np.uint16]] | None = None

    def of(self, clusters: int) -> "NDArray[np.uint16]":
        """Return the counts [resamples, clusters]."""
        if self._kept is None or self._kept[0] != clusters:
            self._kept = (clusters, _drawn(clusters))
        return self._kept[1]


def means(sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]", resamples: Resamples) -> "NDArray[np.float64]":
    """Return the mean over cases in each resample, given the sum and the number of cases of each cluster."""
    import numpy as np  # heavy

    counts, both = resamples.of(len(sums)), np.stack([sums, sizes], axis=1)
    parts = [counts[start : start + BATCH].astype(np.float64) @ both for start in range(0, RESAMPLES, BATCH)]
    found: NDArray[np.float64] = np.concatenate([part[:, 0] / part[:, 1] for part in parts])
    return found


def bca_interval(
    sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]", resamples: Resamples
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated 95 % interval (Efron 1987) of the mean over cases.

    It is that of ``scipy.stats.bootstrap`` with the same draws. The acceleration comes from the jackknife that leaves out one
    cluster at a time, which is a closed form for a ratio of sums. The ends are not finite if the resamples show no spread.
    """
    import numpy as np  # heavy
    from scipy.special import ndtr, ndtri  # heavy

    drawn, observed = means(sums, sizes, resamples), sums.sum() / sizes.sum()
    tolerance = 1e-12 * max(1.0, float(np.abs(drawn).max()))
    below, above = (drawn < observed - tolerance).mean(), (drawn > observed + tolerance).mean()
    bias = ndtri((below + 1 - above) / 2)
    without_one = (sums.sum() - sums) / (sizes.sum() - sizes)
    departures = without_one.mean() - without_one
    with np.errstate(invalid="ignore", divide="ignore"):
        acceleration = (departures**3).sum() / (6 * (departures**2).sum() ** 1.5)
        shifted = bias + ndtri(np.array(TAILS))
        tails = ndtr(bias + shifted / (1 - acceleration * shifted))
    if not np.isfinite(tails).all():
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, tails)
    return float(low), float(high)


def percentile_interval(
    sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]", resamples: Resamples
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over cases."""
    import numpy as np  # heavy

    low, high = np.quantile(means(sums, sizes, resamples), TAILS)
    return float(low), float(high)


def _drawn(clusters: int) -> "NDArray[np.uint16]":
    import numpy as np  # heavy

    generator = np.random.default_rng(SEED)
    counts = np.empty((RESAMPLES, clusters), dtype=np.uint16)
    for start in range(0, RESAMPLES, BATCH):
        chosen = generator.integers(0, clusters, (BATCH, clusters)) + clusters * np.arange(BATCH)[:, None]
        found = np.bincount(chosen.ravel(), minlength=BATCH * clusters)
        counts[start : start + BATCH] = found.reshape(BATCH, clusters)
    return counts
