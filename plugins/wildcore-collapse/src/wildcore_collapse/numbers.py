"""Numbers of a measurement, compared between the unedited and the edited model."""

from collections.abc import Iterator, Sequence

from wildcore import Measured

FINITE = "finite"
"""Key in the details of a number: False if the model's logits were not finite, so that it has no value."""

LARGE = 1e6


def compared(unedited: Sequence[Measured], edited: Sequence[Measured]) -> Iterator[tuple[float, Measured]]:
    """Yield for each number of the edited model the unedited model's value and the number; without such a value it is left
    out.
    """
    before = {one.name: one.value for one in unedited}
    for one in edited:
        value = before.get(one.name)
        if value is not None:
            yield value, one


def lost(before: float, after: Measured) -> list[str]:
    """Return a sign of collapse if a number has no value because the edited model's logits are not finite."""
    if after.value is not None or after.details.get(FINITE, True):
        return []
    return [f"{after.name} cannot be measured ({after.reason}); of the unedited model it is {shown(before)}"]


def changed(before: float, after: float, name: str) -> str:
    """Return what an edited model's value is beside the unedited model's."""
    return f"{name} is {shown(after)}, of the unedited model {shown(before)}"


def shown(value: float) -> str:
    """Return a positive number with about three digits, but a whole number up to a million."""
    return f"{value:,.0f}" if 100 <= value < LARGE else f"{value:.3g}"
