"""How far two raters agree: Cohen's kappa with its interval."""

from collections.abc import Sequence
from math import sqrt

from wildcore.scoring.intervals import NORMAL_95
from wildcore.types import FrozenData

NO_VARIANCE = 1e-12
"""A variance below this is zero apart from rounding."""


class Kappa(FrozenData):
    """Chance-corrected agreement with its 95 % interval. ``undefined`` says why if there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    undefined: str | None = None


def kappa(table: Sequence[Sequence[int]]) -> Kappa:
    """Return Cohen's kappa of a square table of counts; rows are one rater's verdicts and columns the other's.

    Kappa is (p_o - p_e) / (1 - p_e) (Cohen 1960). The interval is the normal one with the large-sample variance of Fleiss,
    Cohen and Everitt (Psychological Bulletin 72, 1969), kept within -1 and 1. It is too narrow for few answers.
    """
    total = sum(map(sum, table))
    if not total:
        return Kappa(undefined="no answer was scored by both")
    shares = [[count / total for count in row] for row in table]
    rows, columns = [sum(row) for row in shares], [sum(column) for column in zip(*shares, strict=True)]
    observed = sum(shares[i][i] for i in range(len(shares)))
    expected = sum(row * column for row, column in zip(rows, columns, strict=True))
    if 1 - expected < NO_VARIANCE:
        return Kappa(undefined="both gave every answer the same verdict, so agreement by chance is complete")
    value = (observed - expected) / (1 - expected)
    variance = _variance(shares, rows, columns, value, expected) / total
    if variance < NO_VARIANCE:
        return Kappa(value=value, undefined="no interval: in such a table the large-sample variance is 0")
    spread = NORMAL_95 * sqrt(variance)
    return Kappa(value=value, low=max(-1.0, value - spread), high=min(1.0, value + spread))


def _variance(
    shares: Sequence[Sequence[float]], rows: Sequence[float], columns: Sequence[float], value: float, expected: float
) -> float:
    """Return the large-sample variance of kappa for one answer (Fleiss, Cohen and Everitt 1969)."""
    places = range(len(shares))
    same = sum(shares[i][i] * (1 - (rows[i] + columns[i]) * (1 - value)) ** 2 for i in places)
    other = sum(shares[i][j] * (columns[i] + rows[j]) ** 2 for i in places for j in places if i != j)
    return float(same + (1 - value) ** 2 * other - (value - expected * (1 - value)) ** 2) / (1 - expected) ** 2
