"""Differences paired by case, checked against known examples and by another route."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from wildcore.scoring.paired import compare_paired, holm
from wildcore.scoring.power import smallest_detectable, smallest_detectable_before
from wildcore.scoring.resampling import SEED, Resamples, bca_interval


def by_case(values) -> dict[str, float]:
    return {str(number): float(value) for number, value in enumerate(values)}


def discordant(both: int, first: int, second: int, neither: int) -> tuple[dict[str, float], dict[str, float]]:
    """Two vectors of 0/1 values with so many cases of each pair."""
    pairs = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    return by_case(one for one, _ in pairs), by_case(other for _, other in pairs)


@pytest.mark.parametrize("table", [(101, 121, 59, 33), (3, 9, 1, 7), (0, 5, 0, 5), (4, 3, 3, 0)])
def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_pairs(table: tuple[int, int, int, int]) -> None:
    """The first table is the example in statsmodels' tests, whose exact p-value is 4.434e-06."""
    found = compare_paired(*discordant(*table))
    _, one, other, _ = table
    tail = sum(comb(one + other, k) for k in range(min(one, other) + 1)) / 2 ** (one + other)
    assert found.test == "mcnemar"
    assert found.p == pytest.approx(min(1.0, 2 * tail))
    if table[1] == 121:
        assert found.p == pytest.approx(4.434e-06, rel=1e-3)


DARWIN = [6.125, -8.375, 1, 2, 0.75, 2.875, 3.5, 5.125, 1.75, 3.625, 7, 3, 9.375, 7.5, -6]
"""Height differences of 15 pairs of maize plants, in inches (Fisher, The Design of Experiments, 1935, section 17 and 21)."""


def test_the_permutation_test_is_fishers_on_darwins_plants() -> None:
    """Fisher counts 1,726 of 32,768 ways to choose the signs that give a difference at least as large."""
    found = compare_paired(by_case(DARWIN), by_case([0] * 15))
    assert found.test == "sign-flip"
    assert found.p == pytest.approx(1726 / 32768, abs=0.008)


@pytest.mark.parametrize("count", [4, 12, 13, 60])
def test_the_permutation_test_is_scipys(count: int) -> None:
    """It is the same number where all signs are flipped, and close to it where random ones are."""
    shift = np.random.default_rng(count).normal(0.3, 1, count).round(1)
    found = compare_paired(by_case(shift), by_case([0] * count))
    scipys = stats.permutation_test((shift,), np.sum, permutation_type="samples", n_resamples=4_999, rng=1)
    assert found.p == pytest.approx(scipys.pvalue, abs=1e-12 if count <= 12 else 0.04)


@pytest.mark.parametrize("sizes", [(1,), (1, 2, 3)])
@pytest.mark.parametrize("count", [3, 12, 200])
def test_the_interval_is_scipys_with_the_same_draws(count: int, sizes: tuple[int, ...]) -> None:
    """Also for values with many ties, and where the resamples of another interval are used again."""
    resamples = Resamples()
    for seed in range(3):
        draw = np.random.default_rng(seed)
        sums, weights = draw.integers(-1, 2, count) + draw.integers(0, 2) / 4, draw.choice(sizes, count).astype(float)
        scipys = stats.bootstrap(
            (sums, weights), lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis), paired=True, n_resamples=2_000, batch=250,
            vectorized=True, rng=np.random.default_rng(SEED),
        ).confidence_interval  # fmt: skip
        assert bca_interval(sums, weights, resamples) == pytest.approx((scipys.low, scipys.high), abs=1e-12)


@pytest.mark.parametrize("sums", [(1, -1, 2, 3, 3, -2, 1), (4, 4, -1), (-2, 5, 1, 1, 1, 1, 1, 1, -7, 3)])
def test_the_permutation_test_of_integers_counts_every_choice_of_signs(sums: tuple[int, ...]) -> None:
    """Halves have the same p-value by trying all signs."""
    counted = compare_paired(by_case(sums), by_case([0] * len(sums)))
    tried = compare_paired(by_case(value / 2 for value in sums), by_case([0] * len(sums)))
    assert counted.p == pytest.approx(tried.p)


def test_few_differences_have_an_exact_permutation_test() -> None:
    found = compare_paired(by_case([0.5, 0.25, 0.75, 1]), by_case([0, 0, 0, 0]))
    assert found.p == 2 / 2**4


def test_the_interval_is_scipys_of_the_differences() -> None:
    generator = np.random.default_rng(1)
    one, other = generator.beta(2, 1, 40), generator.beta(2, 2, 40)
    found = compare_paired(by_case(one), by_case(other))
    other_seed = stats.bootstrap((one - other,), np.mean, n_resamples=20_000, rng=np.random.default_rng(7))
    assert found.interval == "bca"
    assert (found.low, found.high) == pytest.approx(tuple(other_seed.confidence_interval), abs=0.012)
    assert (found.low, found.high) == pytest.approx(
        tuple(stats.ttest_1samp(one - other, 0).confidence_interval()), abs=0.02
    )


def test_pairing_narrows_the_interval_of_values_that_go_together() -> None:
    generator = np.random.default_rng(2)
    one = generator.random(100)
    other = by_case(np.clip(one - 0.05 + 0.02 * generator.standard_normal(100), 0, 1))
    paired = compare_paired(by_case(one), other)
    shuffled = compare_paired(by_case(generator.permutation(one)), other)
    assert (paired.high - paired.low) * 5 < shuffled.high - shuffled.low


def test_cases_are_paired_by_their_id_and_those_of_one_alone_are_counted() -> None:
    found = compare_paired({"a": 1.0, "b": 0.0, "c": 1.0, "x": 1.0}, {"c": 0.0, "b": 0.0, "a": 1.0, "y": 0.0})
    assert (found.first, found.second, found.difference) == pytest.approx((2 / 3, 1 / 3, 1 / 3))
    assert (found.cases, found.left_out) == (3, 2)


def test_cases_of_one_cluster_are_drawn_together() -> None:
    """Cases that repeat others add nothing, if they are known to belong to them."""
    generator = np.random.default_rng(3)
    one, other = generator.random(30), generator.random(30)
    four_times = by_case(np.repeat(one, 4)), by_case(np.repeat(other, 4))
    single = compare_paired(by_case(one), by_case(other))
    clustered = compare_paired(*four_times, {str(case): f"subject {case // 4}" for case in range(120)})
    ignored = compare_paired(*four_times)
    assert (clustered.cases, clustered.clusters) == (120, 30)
    assert (clustered.low, clustered.high, clustered.p) == pytest.approx((single.low, single.high, single.p))
    assert clustered.detectable == pytest.approx(single.detectable)
    assert ignored.high - ignored.low < 0.6 * (clustered.high - clustered.low)


def test_clusters_of_different_sizes_are_a_ratio() -> None:
    """The spread is the one of the linearised ratio, so that the interval is close to the normal one with it."""
    generator = np.random.default_rng(4)
    sizes = generator.integers(1, 5, 200)
    clusters = {str(n): str(c) for n, c in enumerate(np.repeat(np.arange(200), sizes))}
    shift = np.repeat(generator.normal(0.1, 0.3, 200), sizes)
    found = compare_paired(by_case(shift), by_case([0] * len(shift)), clusters)
    error = found.detectable / smallest_detectable(1.0, 200) / 200**0.5
    assert (found.low, found.high) == pytest.approx(
        (found.difference - 1.96 * error, found.difference + 1.96 * error), abs=0.01
    )


def test_0_1_values_of_shared_subjects_are_not_tested_as_independent() -> None:
    one, other = discordant(10, 10, 2, 10)
    assert compare_paired(one, other, {"0": "a", "1": "a"}).test == "sign-flip"
    assert compare_paired(one, other, {"0": "a", "1": "b"}).test == "mcnemar"


def test_a_case_and_a_cluster_of_the_same_name_are_two() -> None:
    assert compare_paired({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.5}, {"b": "a"}).clusters == 2


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([0.5], "no interval and no p: one case"),
        ([0.5, 0.5, 0.5], "no interval: all differences are equal"),
        ([0.0, 0.0], "no interval: all differences are equal"),
    ],
)
def test_what_cannot_be_estimated_is_said(values: list[float], note: str) -> None:
    found = compare_paired(by_case(values), by_case([0] * len(values)))
    assert (found.low, found.high, found.interval, found.detectable) == (None, None, "none", None)
    assert found.note is not None
    assert found.note.startswith(note)


def test_nothing_shared_is_no_difference() -> None:
    found = compare_paired({"a": 1.0}, {"b": 1.0})
    assert (found.difference, found.p, found.cases, found.left_out) == (None, None, 0, 2)


@given(st.lists(st.tuples(st.floats(0, 1, width=16), st.floats(0, 1, width=16)), min_size=2, max_size=12))
def test_the_other_way_round_it_is_the_negative(pairs: list[tuple[float, float]]) -> None:
    one, other = by_case(a for a, _ in pairs), by_case(b for _, b in pairs)
    there, back = compare_paired(one, other), compare_paired(other, one)
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert there.p == pytest.approx(back.p)
    if there.low is not None:
        assert there.low - 1e-9 <= there.difference <= there.high + 1e-9


@settings(max_examples=20, deadline=None)  # statsmodels collects garbage each time
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_holm_is_the_step_down_procedure() -> None:
    """The smallest of three is multiplied by 3, the next by 2, and no adjusted value is below the one before."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.01, None, 0.04]) == [pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([None]) == [None]


def test_the_smallest_detectable_difference_is_found_in_80_of_100_studies() -> None:
    generator = np.random.default_rng(5)
    smallest = smallest_detectable(0.4, 30)
    studies = generator.normal(smallest, 0.4, (4_000, 30))
    found = np.mean(stats.ttest_1samp(studies, 0, axis=1).pvalue < 0.05)
    assert found == pytest.approx(0.8, abs=0.02)
    assert smallest_detectable_before(100) == pytest.approx(0.1265, abs=1e-4)
    assert smallest_detectable(0.4, 1) is None
    assert smallest_detectable(0.0, 100) is None
