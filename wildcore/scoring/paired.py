"""Differences of two sets of scores over the same cases: interval, p-value, and the smallest difference detectable.

Every difference is paired by case. Cases of one cluster (such as one subject) are drawn, and their signs are flipped, together.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from wildcore.scoring.clusters import cluster_names, cluster_numbers, cluster_spread, cluster_sums
from wildcore.scoring.power import smallest_detectable
from wildcore.scoring.resampling import SEED, Resamples, bca_interval, percentile_interval
from wildcore.types import FrozenData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLIPS = 4_999
MOST_FOR_BCA = 5_000
"""Number of clusters up to which intervals are corrected for bias and skewness; beyond it there is hardly any."""
BATCH = 250
"""Number of rows of signs in memory at once."""
MOST_COUNTED = 20_000
"""Largest sum of integer differences for which all choices of signs are counted."""

IntervalMethod = Literal["bca", "percentile", "crossed", "none"]
"""``crossed``: over repetitions and cases (``wildcore.scoring.orders``); ``compare_paired`` itself has none."""
Test = Literal["mcnemar", "sign-flip", "none"]


class PairedDifference(FrozenData):
    """The mean of ``first`` minus ``second`` over the ``cases`` that both have.

    ``first`` and ``second`` are their means over these cases. ``low`` to ``high`` is the 95 % interval of the difference by the
    method ``interval``: the BCa bootstrap (Efron 1987), or the percentile bootstrap for more than 5,000 clusters. ``p`` is
    two-sided, by the ``test``: McNemar's exact test for 0/1 values of independent cases, else a permutation test that flips the
    signs of the differences. ``detectable`` is the smallest difference that this comparison would have detected with 80 %
    power. ``clusters`` is the number of independent clusters of cases, equal to ``cases`` if every case is one. ``note`` says
    why something is missing. ``left_out`` counts the cases that only one of the two has.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    interval: IntervalMethod
    p: float | None
    test: Test
    detectable: float | None
    cases: int
    clusters: int
    left_out: int
    note: str | None = None


def compare_paired(
    first: Mapping[str, float],
    second: Mapping[str, float],
    clusters: Mapping[str, str] | None = None,
    resamples: Resamples | None = None,
) -> PairedDifference:
    """Return the difference ``first`` minus ``second`` of values by case, over the cases that both have.

    ``clusters`` names the cluster of each case; a case without one is independent of all others. ``resamples`` are those that
    several differences share, which saves time and changes no number.
    """
    import numpy as np  # heavy

    shared = [case for case in first if case in second]
    left_out = len(first.keys() ^ second.keys())
    if not shared:
        return _without_cases(left_out)
    one, other = (np.array([values[case] for case in shared], dtype=np.float64) for values in (first, second))
    sums, sizes = cluster_sums(one - other, cluster_numbers(cluster_names(shared, clusters)))
    low, high, method = difference_interval(sums, sizes, resamples)
    p, test = _p_value(one, other, sums)
    return PairedDifference(
        first=float(one.mean()),
        second=float(other.mean()),
        difference=float((one - other).mean()),
        low=low,
        high=high,
        interval=method,
        p=p,
        test=test,
        detectable=smallest_detectable(cluster_spread(sums, sizes), len(sums)),
        cases=len(shared),
        clusters=len(sums),
        left_out=left_out,
        note=_note(sums, sizes),
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values of one family, adjusted by Holm (1979). A comparison without a p-value is not counted."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = highest
    return adjusted


def difference_interval(
    sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]", resamples: Resamples | None = None
) -> tuple[float | None, float | None, IntervalMethod]:
    """Return the 95 % bootstrap interval of the mean over all cases, by resampling clusters, and its method.

    There is none for fewer than two clusters, or if the means of all clusters are equal: resampling then shows no spread.
    """
    import numpy as np  # heavy

    if len(sums) < 2 or _is_constant(sums / sizes):
        return None, None, "none"
    method: IntervalMethod = "bca" if len(sums) <= MOST_FOR_BCA else "percentile"
    interval = bca_interval if method == "bca" else percentile_interval
    low, high = interval(sums, sizes, resamples or Resamples())
    return (low, high, method) if np.isfinite([low, high]).all() else (None, None, "none")


def _p_value(
    one: "NDArray[np.float64]", other: "NDArray[np.float64]", sums: "NDArray[np.float64]"
) -> tuple[float | None, Test]:
    """Return the two-sided p-value against a mean difference of 0, and the test."""
    import numpy as np  # heavy

    if len(sums) < 2:
        return None, "none"
    if len(sums) == len(one) and is_binary(one) and is_binary(other):
        from statsmodels.stats.contingency_tables import mcnemar  # heavy

        table = [[np.sum((one == x) & (other == y)) for y in (1, 0)] for x in (1, 0)]
        return min(1.0, float(mcnemar(table, exact=True).pvalue)), "mcnemar"
    return _sign_flip(sums[np.abs(sums) > 1e-12]), "sign-flip"


def _sign_flip(sums: "NDArray[np.float64]") -> float:
    """Return the p-value of the permutation test on differences other than 0; a difference of 0 has no sign to flip.

    It is exact if the differences are integers, or if there are at most 4,999 ways to choose the signs, else it is over 4,999
    random ones and the observed one. It is twice the smaller p-value of the two one-sided tests, as that of
    ``scipy.stats.permutation_test``, which takes ten times as long because it flips in a loop.
    """
    import numpy as np  # heavy

    count = len(sums)
    if count < 2:
        return 1.0
    if np.abs(sums).sum() <= MOST_COUNTED and (sums == np.rint(sums)).all():
        return _sign_flip_of_integers(np.rint(sums).astype(np.int64))
    if 2**count <= FLIPS:
        flipped = _flipped(sums, np.arange(2**count)[:, None] >> np.arange(count) & 1)
        added = 0
    else:
        generator = np.random.default_rng(SEED)
        batches = (min(BATCH, FLIPS - start) for start in range(0, FLIPS, BATCH))
        flipped = np.concatenate([_flipped(sums, _random_bits(generator, n, count)) for n in batches])
        added = 1
    observed, tolerance = sums.sum(), 1e-12 * np.abs(sums).sum()
    fewer = min((flipped <= observed + tolerance).sum(), (flipped >= observed - tolerance).sum())
    return min(1.0, 2 * float(fewer + added) / (len(flipped) + added))


def _sign_flip_of_integers(sums: "NDArray[np.int64]") -> float:
    """Return the exact p-value: the distribution of the sum of the positive ones, from binomial ones of each absolute value."""
    import numpy as np  # heavy
    from scipy.special import bdtr  # heavy

    positive = np.ones(1)
    for size, count in zip(*np.unique(np.abs(sums), return_counts=True), strict=True):
        one = np.zeros(size * count + 1)
        one[::size] = np.diff(bdtr(np.arange(count + 1), count, 0.5), prepend=0.0)
        positive = np.convolve(positive, one)
    observed = int(sums[sums > 0].sum())
    return min(1.0, 2 * float(min(positive[: observed + 1].sum(), positive[observed:].sum())))


def _random_bits(generator: "np.random.Generator", rows: int, columns: int) -> "NDArray[np.uint8]":
    """Return random 0 and 1 [rows, columns], eight from each random byte."""
    import numpy as np  # heavy

    drawn = np.frombuffer(generator.bytes(rows * (-(-columns // 8))), dtype=np.uint8)
    return np.unpackbits(drawn.reshape(rows, -1), axis=1, count=columns)


def _flipped(sums: "NDArray[np.float64]", signs: "NDArray[Any]") -> "NDArray[np.float64]":
    """Return the sum for each row of ``signs`` [flips, sums], where 0 flips."""
    flipped: NDArray[np.float64] = signs.astype(sums.dtype) @ (2 * sums) - sums.sum()
    return flipped


def is_binary(values: "NDArray[np.float64]") -> bool:
    """Return whether all values are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def _is_constant(values: "NDArray[np.float64]") -> bool:
    return bool(values.max() - values.min() < 1e-12)


def _note(sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]") -> str | None:
    """Return why a difference has no interval. None: it has one."""
    if len(sums) < 2:
        return (
            "no interval and no p: all cases are one cluster" if sizes.sum() > 1 else "no interval and no p: one case"
        )
    if _is_constant(sums / sizes):
        return "no interval: all differences are equal, so that resampling shows no spread"
    return None


def _without_cases(left_out: int) -> PairedDifference:
    return PairedDifference(
        first=None, second=None, difference=None, low=None, high=None, interval="none", p=None, test="none",
        detectable=None, cases=0, clusters=0, left_out=left_out, note="no case has a value in both",
    )  # fmt: skip
