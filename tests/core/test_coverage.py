"""In simulated studies the intervals hold the true value about as often as they say, and a wrong interval does not."""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wildcore.scoring.paired import compare_paired, difference_interval

STUDIES = 150
CASES = 40
FEWEST, MOST = 0.9, 0.99
"""Bounds of the share in 150 studies with a fixed seed: within three standard errors of 95 per cent."""
FILE = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """The benchmark whose table is in the repository."""
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    [
        "binary",
        "fractional",
        "clustered_mean",
        "unequal_clusters",
        "paired_binary",
        "paired_fractional",
        "paired_clusters",
    ],
)
def test_an_interval_holds_the_truth(simulation: ModuleType, name: str) -> None:
    held, missing = simulation.coverage(getattr(simulation, name), CASES, STUDIES)
    assert FEWEST <= held <= MOST
    assert missing == 0


@pytest.mark.parametrize("orders", [3, 10])
def test_the_interval_over_orders_and_cases_holds_the_truth(simulation: ModuleType, orders: int) -> None:
    held, missing = simulation.coverage(partial(simulation.crossed, orders=orders, spread=0.15), CASES, STUDIES)
    assert FEWEST <= held <= MOST
    assert missing == 0


def test_the_interval_of_a_mean_corrected_by_few_labels_holds_the_truth(simulation: ModuleType) -> None:
    held, missing = simulation.coverage(partial(simulation.judge_corrected, correct=0.9), 20, STUDIES)
    assert FEWEST <= held <= MOST
    assert missing == 0


def broken_unpaired(draw: np.random.Generator, count: int, simulation: ModuleType) -> Any:
    """The cases of the second run are shuffled: pairs are ignored."""
    hard = draw.uniform(0, 1, count)
    one, other = simulation._pair(draw, hard, 0.2)
    found = compare_paired(simulation._by_case(one), simulation._by_case(draw.permutation(other)))
    return (found.low, found.high), 0.2, found.p


def broken_clusters(draw: np.random.Generator, count: int, simulation: ModuleType) -> Any:
    """Cases of one subject are taken as independent."""
    same = np.repeat(draw.normal(0.1, 0.3, count // 4), 4)
    low, high, _ = difference_interval(same, np.ones(len(same)))
    return (low, high), 0.1, None


@pytest.mark.parametrize("broken", [broken_unpaired, broken_clusters])
def test_a_wrong_interval_is_outside_the_bounds(simulation: ModuleType, broken: Callable[..., Any]) -> None:
    held, _ = simulation.coverage(partial(broken, simulation=simulation), CASES, STUDIES)
    assert not FEWEST <= held <= MOST


@pytest.mark.parametrize("name", ["paired_binary", "paired_clusters"])
def test_a_true_null_hypothesis_is_rejected_in_at_most_5_of_100_studies(simulation: ModuleType, name: str) -> None:
    """The bound is within three standard errors of 5 per cent."""
    assert simulation.rejections(partial(getattr(simulation, name), gap=0.0), CASES, STUDIES) <= 0.1
