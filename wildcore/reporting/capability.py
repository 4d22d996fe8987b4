"""The general ability of an edited model beside that of the unedited one."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from wildcore.reporting.console import safe_text
from wildcore.scoring.capability import Change, changes
from wildcore.types import Measured

EXPLAINED = (
    "Differences are in points (per cent of the items). A loss: one-sided test against a loss of {margin} or more. A change: two "
    "one-sided tests (TOST), against a loss and against a gain of {margin} or more. Level 0.05, each number by itself."
)


def print_capability(
    console: Console, unedited: Sequence[Measured], edited: Sequence[Measured], margin: float = 1.0
) -> None:
    """Print the numbers that both the unedited and the edited model have, and for shares such as accuracies what the tests
    say about a loss of ``margin`` points, and about a change by that much.
    """
    rows = changes(unedited, edited, margin)
    if not rows:
        return
    table = Table("measured")
    for name in ("items", "unedited", "edited", "difference", "90 % interval", "p, loss", "p, change"):
        table.add_column(name, justify="right")
    for before, after, change in rows:
        values = (str(after.items), _value(before), _value(after))
        table.add_row(safe_text(before.name), *values, *_tests(change))
    console.print(table)
    for before, _, change in rows:
        if change:
            console.print(safe_text(f"{before.name}: {change.verdict}; {change.equivalence} (TOST)"))
    if any(change for _, _, change in rows):
        console.print(EXPLAINED.format(margin=f"{margin:g} {'point' if margin == 1 else 'points'}"))
    for before, after, _ in rows:
        for whose, one in (("unedited", before), ("edited", after)):
            if one.value is None:
                console.print(safe_text(f"{one.name} of the {whose} model has no value: {one.reason}"))


def _value(measured: Measured) -> str:
    if measured.value is None:
        return "-"
    error = "" if measured.standard_error is None else f" ± {measured.standard_error:.3g}"
    return f"{measured.value:.4g}{error}"


def _tests(change: Change | None) -> tuple[str, str, str, str]:
    """Return the cells of the difference, its interval, and the p-values."""
    if change is None:
        return "-", "-", "-", "-"
    interval = "-" if change.low is None or change.high is None else f"{change.low:+.2f} to {change.high:+.2f}"
    return f"{change.difference:+.2f}", interval, _p(change.p_loss), _p(change.p_equivalence)


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
