"""What a run found, in one sentence."""

from collections.abc import Sequence

from wildcore.reporting.numbers import interval_of, number
from wildcore.scoring.means import SummaryRow
from wildcore.scoring.paired import PairedDifference


def gap_in_words(gap: PairedDifference | None) -> str | None:
    """Return how much more the synthetic protocol reports than the wild one; None if a run does not have both.

    ``gap`` is what ``wildcore.scoring.differences.synthetic_minus_wild`` returns.
    """
    if gap is None or gap.first is None or gap.second is None or gap.difference is None:
        return None
    points = f"{abs(100 * gap.difference):.1f}"
    reported = "the same" if points == "0.0" else f"{points} points {'more' if gap.difference > 0 else 'less'}"
    return (
        f"Reliability is {gap.first:.3f} under synthetic and {gap.second:.3f} under wild: synthetic reports {reported} "
        f"({in_points(gap)})."
    )


def reliability_in_words(rows: Sequence[SummaryRow]) -> str | None:
    """Return the reliability before and after the edits under each protocol, by its first metric, of the ``rows`` of a run's
    table. None: there is none.
    """
    first: dict[str, SummaryRow] = {}
    for row in rows:
        if row.kind == "reliability" and row.after is not None:
            first.setdefault(row.protocol, row)
    said = [
        f"{number(row.before)} before and {number(row.after)} after the edits under {protocol} "
        f"(95 % interval {interval_of(row.low, row.high)}, n = {row.cases})"
        for protocol, row in first.items()
    ]
    return f"Reliability is {'; '.join(said)}." if said else None


def in_points(paired: PairedDifference) -> str:
    """Return the interval of a difference in points, its p-value, and over how many cases and clusters it is paired."""
    if paired.low is None or paired.high is None:
        interval = paired.note or "no interval"
    else:
        interval = f"95 % interval {100 * paired.low:+.1f} to {100 * paired.high:+.1f}"
    over = f"n = {paired.cases}"
    if paired.clusters < paired.cases:
        over += f"; about {counted(paired.clusters, 'independent subject')}"
    return ", ".join(part for part in (interval, p_in_words(paired.p), over) if part)


def p_in_words(p: float | None) -> str:
    """Return a p-value in the form in which it is shown; empty if there is none."""
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def counted(count: int, name: str) -> str:
    """Return a number of things in words, the name in the plural if needed."""
    return f"{count} {name}{'' if count == 1 else 's'}"
