"""Numbers in the form in which every table shows them; a hyphen stands for one that does not exist."""


def number(value: float | None) -> str:
    """Return a score."""
    return "-" if value is None else f"{value:.3f}"


def interval_of(low: float | None, high: float | None) -> str:
    """Return the interval of a score."""
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def signed(value: float | None) -> str:
    """Return a difference."""
    return "-" if value is None else f"{value:+.3f}"


def signed_interval(low: float | None, high: float | None) -> str:
    """Return the interval of a difference."""
    return "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def p_value(value: float | None) -> str:
    """Return a p-value."""
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
