"""The judge-corrected mean, checked against published code and by simulation."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from wildcore.scoring.intervals import NORMAL_95
from wildcore.scoring.prediction_powered import corrected_mean

GOLDEN = [
    ([26, 2, 0, 12], (282, 400), 0.74632305, 0.67190848, 0.82073762),
    ([57, 19, 8, 16], (508, 900), 0.73610609, 0.65775055, 0.81446162),
    ([35, 8, 3, 14], (36, 60), 0.7076162, 0.60403569, 0.81119671),
]
"""What ppi-python 0.2.3 gives (ppi_mean_pointestimate, ppi_mean_ci, alpha 0.05), run outside this repository on 2026-11-30.

Counts of labelled answers by label and verdict (1 1, 1 0, 0 1, 0 0), and the verdicts 1 among those without a label. Its
variance divides by n, not by n - 1, so its interval is a little narrower. That of wildcore is close to it: for many labels both
are the same.
"""


@pytest.mark.parametrize(("counts", "others", "value", "low", "high"), GOLDEN)
def test_it_is_the_published_estimate(
    counts: list[int], others: tuple[int, int], value: float, low: float, high: float
) -> None:
    pairs = [
        pair for count, pair in zip(counts, [(1, 1), (1, 0), (0, 1), (0, 0)], strict=True) for pair in [pair] * count
    ]
    unlabelled = [1.0] * others[0] + [0.0] * (others[1] - others[0])
    found = corrected_mean([float(a) for a, _ in pairs], [float(b) for _, b in pairs], unlabelled)
    assert found.value == pytest.approx(value, abs=1e-7)
    normal = 2 * NORMAL_95 * found.standard_error
    assert 1 < normal / (high - low) < sqrt(len(pairs) / (len(pairs) - 1)) + 1e-6
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.012)
    assert (found.labelled, found.unlabelled) == (len(pairs), others[1])


def test_a_biased_judge_is_corrected_and_a_useful_one_narrows_the_interval() -> None:
    draw = np.random.default_rng(1)
    truth = (draw.random(20_000) < 0.6).astype(float)
    lenient = np.where(draw.random(20_000) < 0.3, 1.0, truth)
    useless = draw.random(20_000)
    widths = {}
    for name, judge in (("lenient", lenient), ("useless", useless)):
        found = corrected_mean(truth[:1000].tolist(), judge[:1000].tolist(), judge[1000:].tolist())
        assert abs(found.value - 0.6) < 0.04 < abs(float(lenient.mean()) - 0.6)
        widths[name] = found.high - found.low
    assert widths["lenient"] < 0.9 * widths["useless"]


def test_what_cannot_be_corrected_is_none() -> None:
    assert corrected_mean([1.0], [1.0], [1.0]) is None
    assert corrected_mean([1.0, 0.0], [1.0, 0.0], []) is None
    assert corrected_mean([0.5, 0.5], [1.0, 1.0], [1.0]).low is None
    with pytest.raises(ValueError, match="2 labels cannot be compared with 1"):
        corrected_mean([1.0, 0.0], [1.0], [1.0])


def test_labels_that_are_all_equal_have_the_interval_of_wilson_with_t() -> None:
    """No wrong answer among ten labels does not show that there is none."""
    found = corrected_mean([1.0] * 10, [1.0] * 10, [1.0] * 90)
    t = 2.2621572
    assert (found.low, found.high) == pytest.approx((10 / (10 + t**2), 1.0))


def test_other_labels_have_the_interval_of_t() -> None:
    labels = [0.25, 0.5, 1.0, 0.75, 0.5]
    found = corrected_mean(labels, [1.0] * 5, [1.0] * 20)
    assert (found.low, found.high) == pytest.approx(tuple(stats.ttest_1samp(labels, 0).confidence_interval()))
