"""Several orders of the same edits: their mean, with an interval over orders and cases."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from wildcore.records.schema import ScoreRecord
from wildcore.scoring.values import Key, Values, case_values
from wildcore.types import FrozenData, ProbeKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FITS = 100
"""Rounds in which missing values are fitted; each brings them closer to those that the effects of order and case give."""
UNIT = (0.0, 1.0)


class OrdersRow(FrozenData):
    """A number over several orders of the same edits.

    ``mean`` is over orders, ``lowest`` and ``highest`` are the numbers of single orders. ``low`` to ``high`` is the 95 %
    interval over orders and cases (``crossed_interval``), None if there is none. It covers other orders as well as other cases;
    an interval over the cases of one sequence, which share their weights, does not.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    orders: int
    mean: float
    low: float | None
    high: float | None
    lowest: float
    highest: float


def over_orders(runs: Sequence[Iterable[ScoreRecord]]) -> list[OrdersRow]:
    """Return the numbers over runs that differ in the order of their edits alone, in order of appearance."""
    by_run = [case_values(scores) for scores in runs]
    shared = [key for key in by_run[0] if all(key in of_run for of_run in by_run)]
    return [_row(key, [of_run[key] for of_run in by_run]) for key in shared]


def crossed_interval(
    values: "NDArray[np.float64]", within: tuple[float, float] | None = None
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % interval of the mean of ``values`` [orders, cases], some of which may be missing (NaN).

    The same cases occur in every order, so both are effects of a two-way analysis of variance. The variance of the mean has two
    parts: that by orders, with orders - 1 degrees of freedom, and that by cases and the rest, with cases - 1. The square of the
    half-width is the sum of both, each times the square of its own quantile of Student's t: the method of variance estimates
    recovery (Zou and Donner 2008). It holds with three orders, where a bootstrap of orders and cases is too narrow. Missing
    values are those that the effects give (Yates 1933). ``within``: the interval is cut off at these two values. There is none
    for one order or case, too many missing values, and values without spread.
    """
    import numpy as np  # heavy
    from scipy.special import stdtrit  # heavy

    known = ~np.isnan(values)
    values, known = values[:, known.any(axis=0)], known[:, known.any(axis=0)]
    orders, cases = values.shape
    free = int(known.sum()) - orders - cases + 1
    if orders < 2 or cases < 2 or free < 1 or not known.any(axis=1).all():
        return None, None
    filled = _fitted(values, known)
    mean, of_orders, of_cases = filled.mean(), filled.mean(axis=1), filled.mean(axis=0)
    rest = ((filled - of_orders[:, None] - of_cases + mean) ** 2).sum() / free
    by_order, by_case = cases * of_orders.var(ddof=1), orders * of_cases.var(ddof=1)
    parts = ((orders, max(0.0, by_order - rest)), (cases, max(rest, by_case)))
    spread = float(np.sqrt(sum(stdtrit(count - 1, 0.975) ** 2 * part for count, part in parts) / values.size))
    if spread < 1e-12:
        return None, None
    low, high = float(mean) - spread, float(mean) + spread
    return (low, high) if within is None else (max(within[0], low), min(within[1], high))


def _fitted(values: "NDArray[np.float64]", known: "NDArray[np.bool_]") -> "NDArray[np.float64]":
    """Return values whose missing ones are the sum of the effects of their order and their case."""
    import numpy as np  # heavy

    filled = np.where(known, values, values[known].mean())
    for _ in range(0 if known.all() else FITS):
        effects = filled.mean(axis=1)[:, None] + filled.mean(axis=0) - filled.mean()
        filled = np.where(known, values, effects)
    return filled


def _row(key: Key, runs: Sequence[Values]) -> OrdersRow:
    import numpy as np  # heavy

    means = [fmean(values.values()) for values in runs]
    cases = sorted({case for values in runs for case in values})
    matrix = np.array([[values.get(case, np.nan) for case in cases] for values in runs])
    low, high = crossed_interval(matrix, UNIT if in_unit(*runs) else None)
    protocol, kind, metric = key
    return OrdersRow(
        protocol=protocol,
        kind=kind,
        metric=metric,
        orders=len(runs),
        mean=fmean(means),
        low=low,
        high=high,
        lowest=min(means),
        highest=max(means),
    )


def in_unit(*runs: Values) -> bool:
    """Return whether all values of ``runs`` lie within 0 and 1."""
    return all(0 <= value <= 1 for values in runs for value in values.values())
