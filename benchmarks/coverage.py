"""How often the 95 % intervals of wildcore hold the true value, and how often its tests reject a true null hypothesis.

Each study draws cases from a population whose mean is known, and uses the functions that wildcore's reports use:

    python benchmarks/coverage.py > coverage.md
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from wildcore.scoring.intervals import interval
from wildcore.scoring.orders import crossed_interval
from wildcore.scoring.paired import compare_paired
from wildcore.scoring.prediction_powered import corrected_mean

Ends = tuple[float | None, float | None]
COUNTS = (20, 50, 100, 300)
PROBES = 4
"""Probes of a case whose mean is its value, where values are fractions."""
ORDERS = (2, 3, 5, 10)
SPREADS = (0.05, 0.15)
"""Standard deviations of the effect of an order; that of a case is 0.3."""
Generator = np.random.Generator


def binary(draw: Generator, count: int) -> tuple[Ends, float, None]:
    """0/1 values with mean 0.8."""
    found = interval((draw.random(count) < 0.8).astype(float).tolist())
    return (found.low, found.high), 0.8, None


def fractional(draw: Generator, count: int) -> tuple[Ends, float, None]:
    """Means of four probes that go together within a case: beta-binomial with mean 0.75."""
    found = interval((draw.binomial(PROBES, draw.beta(3, 1, count)) / PROBES).tolist())
    return (found.low, found.high), 0.75, None


def bootstrap_of_fractional(draw: Generator, count: int) -> tuple[Ends, float, None]:
    """The same values by the BCa bootstrap, which wildcore does not use for single means."""
    values = draw.binomial(PROBES, draw.beta(3, 1, count)) / PROBES
    found = compare_paired(_by_case(values), _by_case(np.zeros(count)))
    return (found.low, found.high), 0.75, None


def clustered_mean(draw: Generator, count: int) -> tuple[Ends, float, None]:
    """Fractions of cases of which two share a subject."""
    shared = np.repeat(draw.beta(3, 1, count // 2), 2)
    values = draw.binomial(PROBES, shared) / PROBES
    found = interval(values.tolist(), [case // 2 for case in range(count)])
    return (found.low, found.high), 0.75, None


def unequal_clusters(draw: Generator, count: int, large: bool = False) -> tuple[Ends, float, None]:
    """0/1 values of cases, of which one to five share a subject. ``large``: eight share one of ten subjects, the others none."""
    sizes = np.where(draw.random(count) < 0.1, 8, 1) if large else draw.integers(1, 6, count)
    subjects = np.repeat(np.arange(count), sizes)[:count]
    values = draw.random(count) < draw.beta(3, 2, count)[subjects]
    found = interval(values.astype(float).tolist(), subjects.tolist())
    return (found.low, found.high), 0.6, None


def _pair(draw: Generator, hard: Any, gap: float) -> tuple[Any, Any]:
    """0/1 values of two runs on cases of the difficulty ``hard``, uniform: means 0.5 + gap / 2 and 0.5 - gap / 2."""
    size = len(hard)
    noise = draw.uniform(-0.2, 0.2, (2, size))
    return tuple(
        (value < 0.5 + sign * gap / 2).astype(float) for value, sign in zip(hard + noise, (1, -1), strict=True)
    )


def _difference(draw: Generator, count: int, gap: float, subjects: int = 1) -> Any:
    hard = np.repeat(draw.uniform(0, 1, count // subjects), subjects)
    one, other = _pair(draw, hard, gap)
    clusters = None if subjects == 1 else {str(case): str(case // subjects) for case in range(count)}
    return compare_paired(_by_case(one), _by_case(other), clusters)


def paired_binary(draw: Generator, count: int, gap: float = 0.2) -> tuple[Ends, float, float | None]:
    """0/1 values of two runs on the same cases; the runs disagree on about a fifth of them."""
    found = _difference(draw, count, gap)
    return (found.low, found.high), gap, found.p


def paired_clusters(draw: Generator, count: int, gap: float = 0.2) -> tuple[Ends, float, float | None]:
    """The same, of cases of which two share a subject."""
    found = _difference(draw, count, gap, 2)
    return (found.low, found.high), gap, found.p


def paired_fractional(draw: Generator, count: int, gap: float = 0.1) -> tuple[Ends, float, float | None]:
    """Means of four probes of two runs on the same cases."""
    hard = draw.uniform(0.1, 0.9, count)
    one, other = (draw.binomial(PROBES, hard + sign * gap / 2) / PROBES for sign in (1, -1))
    found = compare_paired(_by_case(one), _by_case(other))
    return (found.low, found.high), gap, found.p


def crossed(draw: Generator, count: int, orders: int, spread: float = SPREADS[0]) -> tuple[Ends, float, None]:
    """Values with an effect of the case and an effect of the order, each drawn anew in every study."""
    return crossed_interval(0.5 + _crossed_effects(draw, count, orders, spread)), 0.5, None


def crossed_binary(draw: Generator, count: int, orders: int, spread: float = SPREADS[0]) -> tuple[Ends, float, None]:
    """0/1 values with the same effects: 1 where their sum is above 0."""
    values = (_crossed_effects(draw, count, orders, spread) > 0).astype(float)
    return crossed_interval(values, (0.0, 1.0)), 0.5, None


def _crossed_effects(draw: Generator, count: int, orders: int, spread: float) -> Any:
    of_cases, of_orders = 0.3 * draw.normal(size=count), spread * draw.normal(size=(orders, 1))
    return of_cases + of_orders + 0.2 * draw.normal(size=(orders, count))


def judge_corrected(draw: Generator, count: int, correct: float = 0.7) -> tuple[Ends, float, None]:
    """A judge that is wrong in 15 of 100 verdicts on ten times as many answers, of which ``count`` have a label."""
    truth = (draw.random(10 * count) < correct).astype(float)
    verdicts = np.where(draw.random(10 * count) < 0.15, 1 - truth, truth)
    found = corrected_mean(truth[:count].tolist(), verdicts[:count].tolist(), verdicts[count:].tolist())
    assert found is not None
    return (found.low, found.high), correct, None


STUDIES: dict[str, Callable[..., tuple[Ends, float, float | None]]] = {
    "single mean, 0/1 (Wilson)": binary,
    "single mean, fractions (t)": fractional,
    "single mean, fractions (BCa, not used)": bootstrap_of_fractional,
    "single mean, fractions, 2 cases a subject (t)": clustered_mean,
    "single mean, 0/1, 1 to 5 cases a subject (t)": unequal_clusters,
    "single mean, 0/1, 1 or 8 cases a subject (t)": partial(unequal_clusters, large=True),
    "paired difference, 0/1 (BCa)": paired_binary,
    "paired difference, fractions (BCa)": paired_fractional,
    "paired difference, 0/1, 2 cases a subject (BCa)": paired_clusters,
    **{
        f"{orders} orders, effect of the order {spread}{values} (t of both)": partial(
            study, orders=orders, spread=spread
        )
        for study, values in ((crossed, ""), (crossed_binary, ", 0/1"))
        for spread in SPREADS
        for orders in ORDERS
    },
    **{
        f"judge-corrected mean, {100 * correct:.0f} % correct, N labels (PPI++)": partial(
            judge_corrected, correct=correct
        )
        for correct in (0.5, 0.7, 0.9)
    },
}
NULLS: dict[str, Callable[..., tuple[Ends, float, float | None]]] = {
    "0/1 (McNemar, exact)": partial(paired_binary, gap=0.0),
    "fractions (sign flips)": partial(paired_fractional, gap=0.0),
    "0/1, 2 cases a subject (sign flips)": partial(paired_clusters, gap=0.0),
}


def coverage(study: Callable[..., Any], count: int, studies: int, seed: int = 1) -> tuple[float, float]:
    """Return the share of studies whose interval holds the true value, and the share that has no interval."""
    held = missing = 0
    for number in range(studies):
        (low, high), truth, _ = study(np.random.default_rng([seed, count, number]), count)
        if low is None or high is None:
            missing += 1
        else:
            held += low - 1e-9 <= truth <= high + 1e-9
    return held / studies, missing / studies


def rejections(study: Callable[..., Any], count: int, studies: int, seed: int = 2) -> float:
    """Return the share of studies under the null hypothesis whose p-value is at most 0.05."""
    p_values = [study(np.random.default_rng([seed, count, number]), count)[2] for number in range(studies)]
    return sum(p is not None and p <= 0.05 for p in p_values) / studies


def _by_case(values: Any) -> dict[str, float]:
    return {str(case): float(value) for case, value in enumerate(values)}


def table(studies: int) -> Iterator[str]:
    """Yield the lines of the report."""
    heads = " | ".join(f"{count} cases" for count in COUNTS)
    yield "# Coverage of the intervals\n"
    yield (
        f"`python benchmarks/coverage.py --studies {studies}`, {date.today()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "statsmodels"))
    )
    yield f"\nPer cent of {studies} simulated studies whose 95 % interval holds the true value; aim: 93 to 97. A study without an"
    yield "interval (in brackets, if there are any) counts as one whose interval does not hold it. * outside the aim.\n"
    yield f"| interval | {heads} |\n| --- |{' ---: |' * len(COUNTS)}"
    for name, study in STUDIES.items():
        yield _line(name, (_shown(*coverage(study, count, studies)) for count in COUNTS))
    yield "\nPer cent of studies without any difference in which p is at most 0.05; valid: at most 5,"
    yield "apart from chance (about 1).\n"
    yield f"| test | {heads} |\n| --- |{' ---: |' * len(COUNTS)}"
    for name, study in NULLS.items():
        yield _line(name, (f"{100 * rejections(study, count, studies):.1f}" for count in COUNTS))


def _shown(held: float, missing: float) -> str:
    outside = "" if 0.93 <= held <= 0.97 else " *"
    return f"{100 * held:.1f}" + (f" ({100 * missing:.1f})" if missing else "") + outside


def _line(name: str, cells: Iterator[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2_000)
    for line in table(parser.parse_args().studies):
        print(line, flush=True)
