"""The general ability of an edited model beside that of the unedited one, in sentences."""

from collections.abc import Iterator, Sequence

from wildcore.records.schema import JudgingPointRecord
from wildcore.reporting.numbers import p_value
from wildcore.scoring.capability import Change, changes
from wildcore.types import Measured

EXPLAINED = (
    "Differences are in points (per cent of the items). A loss: one-sided test against a loss of {margin} or more. A change: two "
    "one-sided tests (TOST), against a loss and against a gain of {margin} or more. Level 0.05, each number by itself."
)


def abilities(points: Sequence[JudgingPointRecord]) -> Iterator[str]:
    """Yield how the model's accuracies in tasks changed from the first to the last of ``points``, if they were measured."""
    if len(points) < 2:
        return
    first, last = points[0], points[-1]
    for name, edited in last.measured.items():
        unedited = first.measured.get(name, ())
        if any(change for _, _, change in changes(unedited, edited)):
            yield f"After {last.after_edits} edits, beside the unedited model:"
            yield from capability(unedited, edited)


def capability(unedited: Sequence[Measured], edited: Sequence[Measured], margin: float = 1.0) -> Iterator[str]:
    """Yield the numbers that both the unedited and the edited model have, and for shares such as accuracies what the tests
    say about a loss of ``margin`` points, and about a change by that much.
    """
    rows = changes(unedited, edited, margin)
    for before, after, change in rows:
        values = f"{after.name}: {_value(before)} unedited, {_value(after)} edited, {after.items} items"
        yield f"{values}; {_tests(change)}" if change else values
    if any(change for _, _, change in rows):
        yield EXPLAINED.format(margin=f"{margin:g} {'point' if margin == 1 else 'points'}")
    for before, after, _ in rows:
        for whose, one in (("unedited", before), ("edited", after)):
            if one.value is None:
                yield f"{one.name} of the {whose} model has no value: {one.reason}"


def _value(measured: Measured) -> str:
    if measured.value is None:
        return "-"
    error = "" if measured.standard_error is None else f" ± {measured.standard_error:.3g}"
    return f"{measured.value:.4g}{error}"


def _tests(change: Change) -> str:
    """Return the difference, its interval, and what the tests say."""
    known = change.low is not None and change.high is not None
    interval = f" (90 % interval {change.low:+.2f} to {change.high:+.2f})" if known else ""
    return (
        f"difference {change.difference:+.2f}{interval}; {change.verdict} (p: {p_value(change.p_loss)}); "
        f"{change.equivalence} (TOST, p: {p_value(change.p_equivalence)})"
    )
