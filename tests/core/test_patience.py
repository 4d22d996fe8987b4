"""Property tests depend on no clock."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.builds(lambda: time.sleep(0.3)))
@settings(max_examples=4)
def test_an_example_may_take_longer_than_the_usual_limit(slow: None) -> None:
    assert slow is None
    assert settings().deadline is None
