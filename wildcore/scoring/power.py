"""The smallest difference that a comparison could have detected: a statement about the number of cases, not about a model."""

from functools import cache
from math import sqrt

POWER = 0.8
LEVEL = 0.05
DISCORDANT = 0.2
"""Share of cases on which two runs are assumed to disagree before any pair of runs is observed."""


def smallest_detectable(spread: float, count: int) -> float | None:
    """Return the smallest mean difference that a paired t test detects with 80 % power at the two-sided 5 % level.

    It is ``d`` times ``spread``, the standard deviation of the ``count`` independent differences; ``d`` is the effect size that
    solves the power function of the noncentral t distribution (statsmodels, ``TTestPower``). None: fewer than two differences,
    or differences without spread.
    """
    return None if count < 2 or spread <= 0 else _effect_size(count) * spread


@cache  # the numbers of a run are mostly over the same cases
def _effect_size(count: int) -> float:
    import numpy as np  # heavy
    from statsmodels.stats.power import TTestPower  # heavy

    effect = TTestPower().solve_power(nobs=count, alpha=LEVEL, power=POWER, alternative="two-sided")
    return float(np.ravel(effect)[0])  # for some counts it is an array of one


def smallest_detectable_before(count: int, discordant: float = DISCORDANT) -> float | None:
    """Return the smallest difference of two runs with 0/1 values over ``count`` cases, before any pair of runs is observed.

    The runs are assumed to disagree on the share ``discordant`` of the cases, so that the standard deviation of a difference
    is at most its square root. With 100 cases and the default it is 0.126.
    """
    return smallest_detectable(sqrt(discordant), count)
