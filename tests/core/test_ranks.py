"""Rank ranges: consistent with the differences that stand, and the same in any order of the runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore.scoring import RankRange, Values, all_pairs, rank_ranges, run_differences, stands

KEY = ("wild", "reliability", "exact-match")


def of_runs(shares: list[float], cases: int = 40, seed: int = 0) -> list[Values]:
    """0/1 values of one run for each share; the same draw decides in all, so that equal shares give equal values."""
    hard = np.random.default_rng(seed).random(cases)
    return [{str(case): float(value < share) for case, value in enumerate(hard)} for share in shares]


def ranges(runs: list[Values]) -> dict[int, RankRange]:
    differences = run_differences([{KEY: values} for values in runs], all_pairs(len(runs)))
    return rank_ranges(range(1, len(runs) + 1), differences)


def test_runs_far_apart_have_one_rank_each_and_equal_runs_share_theirs() -> None:
    found = ranges(of_runs([0.1, 0.9, 0.5, 0.5]))
    assert found[2] == RankRange(best=1, worst=1)
    assert found[1] == RankRange(best=4, worst=4)
    assert found[3] == RankRange(best=2, worst=3, ties=(4,))
    assert found[4] == RankRange(best=2, worst=3, ties=(3,))


def test_a_difference_on_every_case_stands_without_an_interval() -> None:
    (one,) = run_differences([{KEY: values} for values in of_runs([0.0, 1.1])], [(1, 0)])
    assert one.paired.low is None
    assert stands(one)


def test_a_difference_on_one_case_does_not_stand() -> None:
    first, second = of_runs([0.5, 0.5])
    changed = {**second, "0": 1.0 - second["0"]}
    (one,) = run_differences([{KEY: first}, {KEY: changed}], [(1, 0)])
    assert not stands(one)
    assert ranges([first, changed])[1] == RankRange(best=1, worst=2, ties=(2,))


def test_a_run_without_differences_can_have_any_rank() -> None:
    assert rank_ranges([1, 2, 3], []) == {
        run: RankRange(best=1, worst=3, ties=tuple(sorted({1, 2, 3} - {run}))) for run in (1, 2, 3)
    }


@settings(max_examples=20, deadline=None)
@given(
    shares=st.lists(st.sampled_from([0.05, 0.2, 0.3, 0.5, 0.55, 0.9]), min_size=2, max_size=5),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_ranges_follow_the_standing_differences_in_any_order(
    shares: list[float], seed: int, data: st.DataObject
) -> None:
    runs = of_runs(shares, seed=seed)
    found = ranges(runs)
    means = {number: sum(values.values()) for number, values in enumerate(runs, start=1)}
    differences = run_differences([{KEY: values} for values in runs], all_pairs(len(runs)))
    for one in differences:
        here, there = found[one.run], found[one.baseline]
        assert (one.baseline in here.ties) == (one.run in there.ties) == (not stands(one))
        if stands(one):
            better, worse = (here, there) if means[one.run] > means[one.baseline] else (there, here)
            assert better.best < worse.worst
    by_mean = sorted(means, key=lambda run: -means[run])
    for rank, run in enumerate(by_mean, start=1):
        assert found[run].best <= rank <= found[run].worst
        assert found[run].worst - found[run].best == len(found[run].ties)
    order = data.draw(st.permutations(range(len(runs))))
    again = ranges([runs[index] for index in order])
    for place, index in enumerate(order, start=1):
        assert (again[place].best, again[place].worst) == (found[index + 1].best, found[index + 1].worst)
        assert {order[tie - 1] + 1 for tie in again[place].ties} == set(found[index + 1].ties)


@pytest.mark.parametrize("ranked", [(1, 2), (2, 3)])
def test_differences_of_other_runs_are_ignored(ranked: tuple[int, ...]) -> None:
    differences = run_differences([{KEY: values} for values in of_runs([0.1, 0.5, 0.9])], all_pairs(3))
    found = rank_ranges(ranked, differences)
    assert [found[run].best for run in ranked] == [2, 1]


def test_differences_are_in_the_order_of_the_runs_tables() -> None:
    values = {"0": 1.0, "1": 0.0}
    keys = [
        ("synthetic", "reliability", "token-match"),
        ("synthetic", "reliability", "contains"),
        ("bare", "reliability", "contains"),
    ]
    runs = [dict.fromkeys(keys, values), dict.fromkeys(keys, values)]
    found = run_differences(runs, all_pairs(2))
    assert [(one.protocol, one.kind, one.metric) for one in found] == keys
