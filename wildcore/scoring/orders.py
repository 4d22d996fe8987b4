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

DRAWS = 2_000
SEED = 20250215
"""Seed of the draws, so that the same runs always have the same interval."""


class OrdersRow(FrozenData):
    """A number over several orders of the same edits.

    ``mean`` is over orders, ``lowest`` and ``highest`` are the numbers of single orders. ``low`` to ``high`` is the 95 %
    interval of a bootstrap that draws orders and cases (``crossed_interval``). It covers other orders as well as other cases;
    an interval over the cases of one sequence, which share their weights, does not.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    orders: int
    mean: float
    low: float
    high: float
    lowest: float
    highest: float


def over_orders(runs: Sequence[Iterable[ScoreRecord]]) -> list[OrdersRow]:
    """Return the numbers over runs that differ in the order of their edits alone, in order of appearance."""
    by_run = [case_values(scores) for scores in runs]
    shared = [key for key in by_run[0] if all(key in of_run for of_run in by_run)]
    return [_row(key, [of_run[key] for of_run in by_run]) for key in shared]


def crossed_interval(values: "NDArray[np.float64]") -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of ``values`` [orders, cases], some of which may be missing (NaN).

    The bootstrap draws orders and cases with replacement, the same cases for all orders drawn (the pigeonhole bootstrap of
    Owen 2007), because the same cases occur in every order.
    """
    import numpy as np  # heavy

    generator = np.random.default_rng(SEED)
    orders, cases = values.shape
    known = ~np.isnan(values)
    of_orders = generator.multinomial(orders, np.full(orders, 1 / orders), size=DRAWS)  # how often each is drawn
    of_cases = generator.multinomial(cases, np.full(cases, 1 / cases), size=DRAWS)
    sums = ((of_orders @ np.where(known, values, 0.0)) * of_cases).sum(axis=1)
    counts = ((of_orders @ known.astype(np.float64)) * of_cases).sum(axis=1)
    drawn = counts > 0
    low, high = np.quantile(sums[drawn] / counts[drawn], [0.025, 0.975])
    return float(low), float(high)


def _row(key: Key, runs: Sequence[Values]) -> OrdersRow:
    import numpy as np  # heavy

    means = [fmean(values.values()) for values in runs]
    cases = sorted({case for values in runs for case in values})
    low, high = crossed_interval(np.array([[values.get(case, np.nan) for case in cases] for values in runs]))
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
