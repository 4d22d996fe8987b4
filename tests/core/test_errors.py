"""What is refused stands in its place among what is made."""

import pytest

from wildcore import Refused, UserError, map_or_refuse


def half(number: int) -> int:
    if number % 2:
        raise Refused(f"{number} is odd")
    if number < 0:
        raise UserError("negative")
    return number // 2


def test_a_refusal_takes_the_place_of_what_would_have_been_made() -> None:
    first, refusal, last = map_or_refuse(half, [2, 3, 4])
    assert (first, last) == (1, 2)
    assert isinstance(refusal, Refused)
    assert str(refusal) == "3 is odd"


def test_another_error_is_raised() -> None:
    with pytest.raises(UserError, match="negative"):
        map_or_refuse(half, [2, -2])
