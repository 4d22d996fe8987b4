"""What a run found, in one sentence: how much more the synthetic protocol reports than the wild one."""

from wildcore.scoring.paired import PairedDifference


def gap_in_words(gap: PairedDifference | None) -> str | None:
    """Return how much more the synthetic protocol reports than the wild one; None if a run does not have both.

    ``gap`` is what ``wildcore.scoring.differences.synthetic_minus_wild`` returns.
    """
    if gap is None or gap.first is None or gap.second is None or gap.difference is None:
        return None
    side = "more" if gap.difference >= 0 else "less"
    return (
        f"Reliability: {gap.first:.3f} synthetic, {gap.second:.3f} wild. "
        f"Synthetic reports {abs(100 * gap.difference):.1f} points {side} ({in_points(gap)})."
    )


def in_points(paired: PairedDifference) -> str:
    """Return the interval of a difference in points, its p-value, and over how many cases and clusters it is paired."""
    if paired.low is None or paired.high is None:
        interval = paired.note or "no interval"
    else:
        interval = f"95 % interval {100 * paired.low:+.1f} to {100 * paired.high:+.1f}"
    over = f"paired over {counted(paired.cases, 'case')}"
    if paired.clusters < paired.cases:
        over += f" about {counted(paired.clusters, 'independent subject')}"
    detectable = "" if paired.detectable is None else f"detectable: {100 * paired.detectable:.1f}"
    return ", ".join(part for part in (interval, p_in_words(paired.p), over, detectable) if part)


def p_in_words(p: float | None) -> str:
    """Return a p-value in the form in which it is shown; empty if there is none."""
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def counted(count: int, name: str) -> str:
    """Return a number of things in words, the name in the plural if needed."""
    return f"{count} {name}{'' if count == 1 else 's'}"
