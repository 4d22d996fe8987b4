"""The general ability of an edited model beside that of the unedited one."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from wildcore.reporting.console import safe_text
from wildcore.scoring.capability import Change, changes
from wildcore.types import Measured

EXPLAINED = (
    "Difference in points (per cent of the items), with its 90 % interval. Lost: one-sided test against a loss of {margin} or "
    "more. Change: two one-sided tests (TOST), against a loss and against a gain of {margin} or more. Each test is made at the "
    "level 0.05, for each number by itself."
)


def print_capability(
    console: Console, unedited: Sequence[Measured], edited: Sequence[Measured], margin: float = 1.0
) -> None:
    """Print the numbers of the unedited and the edited model that both have, and for shares such as accuracies what the tests
    say about a loss of ``margin`` points.
    """
    rows = changes(unedited, edited, margin)
    if not rows:
        return
    table = Table("measured")
    for name in ("items", "unedited", "edited", "difference", "90 % interval"):
        table.add_column(name, justify="right")
    for name in ("lost", "change", "p of TOST"):
        table.add_column(name)
    for before, after, change in rows:
        values = (str(after.items), _value(before), _value(after))
        table.add_row(safe_text(before.name), *values, *_said(change))
    console.print(table)
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


def _said(change: Change | None) -> tuple[str, str, str, str, str]:
    if change is None:
        return "-", "-", "-", "-", "-"
    interval = "-" if change.low is None or change.high is None else f"{change.low:+.2f} to {change.high:+.2f}"
    p = change.p_equivalence
    shown = "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return f"{change.difference:+.2f}", interval, change.verdict, change.equivalence, shown
