"""Ranks with a range: which ranks each run can have, given the differences that stand."""

from collections.abc import Collection, Iterable

from wildcore.scoring.differences import RunDifference
from wildcore.scoring.power import LEVEL
from wildcore.types import FrozenData


class RankRange(FrozenData):
    """The ranks that a run can have, 1 being the best. ``best`` equals ``worst`` if all its differences stand.

    ``ties`` are the numbers of the other runs from which its difference does not stand.
    """

    best: int
    worst: int
    ties: tuple[int, ...] = ()


def stands(difference: RunDifference) -> bool:
    """Return whether a difference is told apart from zero: its 95 % interval leaves out zero, and its p-value, adjusted by Holm
    within its family, is below 0.05.

    If all cases differ by the same value there is no interval, and the p-value decides.
    """
    paired, p = difference.paired, difference.p_holm
    if not paired.difference or p is None or p >= LEVEL:
        return False
    return paired.low is None or paired.high is None or paired.low > 0 or paired.high < 0


def rank_ranges(runs: Collection[int], differences: Iterable[RunDifference]) -> dict[int, RankRange]:
    """Return the range of ranks of each of ``runs``, given the ``differences`` of all pairs of them in one number, of which more
    is better.

    The best rank of a run is one more than the number of runs that are better by a difference that stands; its worst rank is
    the number of runs without those that are worse by such a difference (Mogstad, Romano, Shaikh and Wilhelm 2024, Inference
    for Ranks). If the p-values are adjusted over all pairs, all ranges together hold the true ranks in at least 95 of 100
    studies. A pair without a difference is a tie. Differences between other runs are ignored. The order of runs and
    differences changes nothing.
    """
    ranked = set(runs)
    better = {pair for one in differences if (pair := _better_and_worse(one)) is not None and ranked.issuperset(pair)}
    found = {}
    for run in runs:
        above = {winner for winner, loser in better if loser == run}
        below = {loser for winner, loser in better if winner == run}
        ties = tuple(sorted(ranked - above - below - {run}))
        found[run] = RankRange(best=1 + len(above), worst=len(ranked) - len(below), ties=ties)
    return found


def _better_and_worse(one: RunDifference) -> tuple[int, int] | None:
    """Return the better and the worse run of a difference. None: it does not stand."""
    if not stands(one):
        return None
    return (one.run, one.baseline) if (one.paired.difference or 0) > 0 else (one.baseline, one.run)
