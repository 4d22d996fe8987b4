"""Clusters of cases that are not independent of each other, such as cases about one subject."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from wildcore.records.schema import CaseRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def subjects(cases: Iterable[CaseRecord]) -> dict[str, str]:
    """Return the subject of each case that shares it with another one.

    Subjects are equal if they are equal without regard to case and outer white space. Cases without a subject are left out.
    """
    found = {case.case: case.request.subject.strip().casefold() for case in cases if case.request.subject}
    shared = {subject for subject, count in Counter(found.values()).items() if count > 1}
    return {case: subject for case, subject in found.items() if subject in shared}


def cluster_names(cases: Iterable[str], clusters: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """Return the cluster of each case. A case without one in ``clusters`` is its own."""
    named = clusters or {}
    return [("cluster", named[case]) if case in named else ("case", case) for case in cases]


def cluster_numbers(clusters: Sequence[object]) -> "NDArray[np.intp]":
    """Return the number of each value's cluster, from 0 in order of appearance."""
    import numpy as np  # heavy

    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)


def cluster_sums(
    values: "NDArray[np.float64]", numbers: "NDArray[np.intp]"
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """Return the sum of the values of each cluster, and its number of values."""
    import numpy as np  # heavy

    sizes = np.bincount(numbers).astype(np.float64)
    return np.bincount(numbers, weights=values).astype(np.float64), sizes


def cluster_spread(sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]") -> float:
    """Return the standard error of the mean over all cases times the root of the number of clusters, which is the standard
    deviation of the values if every case is a cluster. 0: fewer than two clusters.

    The mean is a ratio of two sums over clusters, and its error that of the jackknife that leaves out one cluster at a time (the
    cluster-robust variance CR3 of Bell and McCaffrey 2002). For clusters of one size it is the usual cluster-robust one.
    """
    import numpy as np  # heavy

    if len(sums) < 2:
        return 0.0
    total = sizes.sum()
    without_one = (sums - sizes * (sums.sum() / total)) / (total - sizes)
    return float(np.sqrt((len(sums) - 1) * (without_one**2).sum()))


def effective_clusters(sizes: "NDArray[np.float64]") -> float:
    """Return the number of clusters of one size that say as much as clusters of these ``sizes`` (Kish 1965).

    A mean over few large and many small clusters depends mostly on the large ones, so that its standard error is less certain
    than the number of clusters suggests.
    """
    return float(sizes.sum() ** 2 / (sizes**2).sum())
