"""Whether an edited model kept a general ability: equivalence tests of two measurements, in points.

A difference that is "not significant" may only show that too few items were asked. So the question is asked the other way
round, by two one-sided tests (TOST; Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987): each assumes that the model changed by
the margin or more, and the data must refute it. A point is one per cent of the items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p, sqrt
from statistics import fmean, stdev
from typing import Literal

from wildcore.types import Measured

LEVEL = 0.05
"""Level of each one-sided test. The two-sided interval that belongs to it is the 90 % interval."""
POINTS = 100
SHARE = "share"
"""Key in the details of a number: true if it is a share between 0 and 1 although it has no samples, as the mean of several
tasks' accuracies."""


@dataclass(frozen=True)
class Change:
    """The difference of a share, such as an accuracy, between an edited model and the unedited one, in points.

    ``low`` and ``high`` are the ends of its 90 % interval. ``p_loss`` is the p-value of the test against a loss of ``margin``
    points or more, ``p_gain`` that against a gain of ``margin`` or more. They are None if nothing is known of the spread.
    """

    difference: float
    margin: float
    items: int
    paired: bool
    low: float | None = None
    high: float | None = None
    p_loss: float | None = None
    p_gain: float | None = None

    @property
    def p_equivalence(self) -> float | None:
        """The p-value of the two one-sided tests together: the larger of the two."""
        return None if self.p_loss is None or self.p_gain is None else max(self.p_loss, self.p_gain)

    @property
    def loss(self) -> Literal["at most", "more than", "unknown"]:
        """Whether at most ``margin`` points were lost, or more. This is one test: a gain, however large, is no loss."""
        if self.p_loss is not None and self.p_loss < LEVEL:
            return "at most"
        return "more than" if self.high is not None and self.high < -self.margin else "unknown"

    @property
    def is_equivalent(self) -> bool:
        """Whether the ability changed by less than ``margin`` points in either direction, by both tests."""
        return self.p_equivalence is not None and self.p_equivalence < LEVEL

    @property
    def verdict(self) -> str:
        """The statement about a loss in words, by the one-sided test alone."""
        if self.loss != "unknown":
            return f"{self.loss} {_points(self.margin)} lost"
        if self.low is None or self.high is None:
            return f"cannot be told with {self.items} items (their spread is not known)"
        return f"cannot be told with {self.items} items (the interval is {self.low:+.1f} to {self.high:+.1f})"

    @property
    def equivalence(self) -> str:
        """The statement about a change in either direction in words, by the two one-sided tests."""
        if self.is_equivalent:
            return f"within {_points(self.margin)}"
        return f"not shown to be within {_points(self.margin)}"


def change(unedited: Measured, edited: Measured, margin: float = 1.0) -> Change | None:
    """Return how a share changed, and what the tests say about ``margin`` points; None if the numbers are not both shares of
    which more is better, such as perplexities or numbers without a value.

    The test is paired over the samples if both have them (t test of the differences, as many degrees of freedom as items less
    one), else it is made from the two standard errors (Welch), which takes the measurements as independent and so
    finds less. Raises ``ValueError`` for two numbers with different names, with different numbers of samples, or for a margin
    that is not between 0 and 100.
    """
    if not 0 < margin < POINTS:
        raise ValueError(f"a margin of {margin} points; it must be more than 0 and less than {POINTS}")
    if unedited.name != edited.name:
        raise ValueError(f"{unedited.name} cannot be compared with {edited.name}")
    if unedited.value is None or edited.value is None or not (_is_share(unedited) and _is_share(edited)):
        return None
    if unedited.samples and edited.samples:
        return _paired(unedited.samples, edited.samples, margin)
    return _unpaired(unedited, edited, margin)


def changes(
    unedited: Sequence[Measured], edited: Sequence[Measured], margin: float = 1.0
) -> list[tuple[Measured, Measured, Change | None]]:
    """Return each number of an edited model after that of the unedited one, and how it changed. A number that only one of the
    two has is left out.
    """
    after = {one.name: one for one in edited}
    return [(one, after[one.name], change(one, after[one.name], margin)) for one in unedited if one.name in after]


def _is_share(measured: Measured) -> bool:
    if measured.higher_is_better is not True:
        return False
    if measured.samples:
        return all(0 <= value <= 1 for value in measured.samples)
    return measured.details.get(SHARE) is True


def _paired(unedited: Sequence[float], edited: Sequence[float], margin: float) -> Change:
    if len(unedited) != len(edited):
        raise ValueError(f"{len(unedited)} items cannot be compared one by one with {len(edited)}")
    differences = [after - before for before, after in zip(unedited, edited, strict=True)]
    mean, count = fmean(differences), len(differences)
    if len(set(differences)) == 1:
        return _all_alike(mean, count, margin)
    return _tested(POINTS * mean, POINTS * stdev(differences) / sqrt(count), count - 1, margin, count, paired=True)


def _unpaired(unedited: Measured, edited: Measured, margin: float) -> Change:
    assert unedited.value is not None
    assert edited.value is not None
    difference, count = POINTS * (edited.value - unedited.value), min(unedited.items, edited.items)
    errors = (unedited.standard_error, edited.standard_error)
    if count < 2 or errors[0] is None or errors[1] is None or not any(errors):
        return Change(difference, margin, count, paired=False)
    squares = (errors[0] ** 2, errors[1] ** 2)
    parts = squares[0] ** 2 / (unedited.items - 1) + squares[1] ** 2 / (edited.items - 1)
    freedom = sum(squares) ** 2 / parts
    return _tested(difference, POINTS * sqrt(sum(squares)), freedom, margin, count, paired=False)


def _tested(difference: float, error: float, freedom: float, margin: float, count: int, paired: bool) -> Change:
    """Return the change with its interval and the two one-sided t tests; ``error`` is its standard error in points."""
    from scipy.special import stdtr, stdtrit

    reach = float(stdtrit(freedom, 1 - LEVEL)) * error
    return Change(
        difference,
        margin,
        count,
        paired,
        low=max(difference - reach, -POINTS),
        high=min(difference + reach, POINTS),
        p_loss=float(stdtr(freedom, -(difference + margin) / error)),
        p_gain=float(stdtr(freedom, (difference - margin) / error)),
    )


def _all_alike(difference: float, count: int, margin: float) -> Change:
    """Return the change if it is the same for every item, in particular if none changed. A t test finds no spread then, and
    would be certain of the difference after two items.

    Exact instead: if a share q of all items is like that, ``count`` of them are with probability q ** count. The others may
    have changed by as much as they can, from -1 to 1.
    """
    alike = exp(log(LEVEL) / count)
    return Change(
        POINTS * difference,
        margin,
        count,
        paired=True,
        low=POINTS * (alike * difference - (1 - alike)),
        high=POINTS * (alike * difference + (1 - alike)),
        p_loss=_chance(difference, count, margin),
        p_gain=_chance(-difference, count, margin),
    )


def _chance(difference: float, count: int, margin: float) -> float:
    """Return the largest probability that ``count`` items all change by ``difference`` although the mean of all items lies
    ``margin`` points or more below 0.
    """
    lost = margin / POINTS
    if difference <= -lost:
        return 1.0
    return exp(count * (log1p(-lost) - log1p(difference)))


def _points(count: float) -> str:
    return f"{count:g} point" if count == 1 else f"{count:g} points"
