"""Runs that repeat others with another seed or another order of the edits: their mean, and differences of such means."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from wildcore.scoring.orders import crossed_interval, in_unit
from wildcore.scoring.paired import PairedDifference, compare_paired
from wildcore_study.measured import Measured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def pooled(numbers: Iterable[Measured]) -> list[Measured]:
    """Return one number for those that differ in their seed or order alone: the mean over these repeats.

    Its interval covers other repeats as well as other cases (``crossed_interval``). The values of its cases are means over the
    repeats.
    """
    groups: dict[tuple[object, ...], list[Measured]] = {}
    for one in numbers:
        key = (
            one.model,
            one.dataset,
            one.editor,
            one.schedule,
            one.edits,
            one.edits_per_update,
            one.protocol,
            one.probe,
            one.metric,
        )
        groups.setdefault(key, []).append(one)
    return [group[0] if len(group) == 1 else _over_repeats(group) for group in groups.values()]


def compare_measured(first: Measured, second: Measured) -> PairedDifference:
    """Return ``first`` minus ``second``, paired by case, and by repeat where both have several.

    With several repeats the interval is over repeats and cases, and there is no p-value: a few repeats cannot give a valid one.
    """
    clusters = {**first.clusters, **second.clusters}
    if len(first.repeats) == len(second.repeats) == 1:
        return compare_paired(first.values, second.values, clusters)
    shared = [repeat for repeat in first.repeats if repeat in second.repeats]
    one = _joined([first.repeats[repeat] for repeat in shared])
    other = _joined([second.repeats[repeat] for repeat in shared])
    paired = compare_paired(one, other, clusters)
    if len(shared) < 2 or not paired.cases:
        unshared = len(first.repeats.keys() ^ second.repeats.keys())
        note = f"{unshared} seeds or orders that only one of the two has are left out"
        return paired.model_copy(update={"note": note}) if unshared else paired
    import numpy as np  # heavy

    cases = [case for case in one if case in other]
    values, others = ([of.repeats[repeat] for repeat in shared] for of in (first, second))
    matrix = _matrix(values, cases) - _matrix(others, cases)
    low, high = _interval(matrix, [*values, *others], (-1.0, 1.0))
    return paired.model_copy(
        update={
            "difference": float(np.nanmean(matrix)), "low": low, "high": high,
            "interval": "none" if low is None else "crossed", "p": None,
            "test": "none", "detectable": None,
            "note": f"no p: a few repeats give none; the interval is over {len(shared)} seeds or orders, and cases",
        }
    )  # fmt: skip


def repeats_notes(numbers: Iterable[Measured]) -> Iterable[str]:
    """Return what a reader must know about numbers over several repeats; nothing if there are none."""
    if any(len(one.repeats) > 1 for one in numbers):
        yield (
            "Where several seeds or orders were run, a number is the mean over them, its 95 % interval covers other seeds or "
            "orders as well as other cases, and a difference has no p."
        )


def _over_repeats(group: Sequence[Measured]) -> Measured:
    values = [one.values for one in group]
    joined = _joined(values)
    low, high = _interval(_matrix(values, sorted(joined)), values, (0.0, 1.0))
    before = [one.before for one in group if one.before is not None]
    return group[0].model_copy(
        update={
            "values": joined, "repeats": {repeat: of for one in group for repeat, of in one.repeats.items()},
            "clusters": {case: cluster for one in group for case, cluster in one.clusters.items()},
            "devices": tuple(dict.fromkeys(device for one in group for device in one.devices)),
            "before": fmean(before) if before else None, "mean": fmean(one.mean for one in group), "low": low, "high": high,
            "unscored": sum(one.unscored for one in group), "refused": sum(one.refused for one in group),
        }
    )  # fmt: skip


def _joined(repeats: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each case over the repeats in which it was scored."""
    found: dict[str, list[float]] = {}
    for values in repeats:
        for case, value in values.items():
            found.setdefault(case, []).append(value)
    return {case: fmean(of_case) for case, of_case in found.items()}


def _matrix(repeats: Sequence[Mapping[str, float]], cases: Sequence[str]) -> "NDArray[np.float64]":
    """Return values [repeats, cases], NaN where a case was not scored."""
    import numpy as np  # heavy

    return np.array([[values.get(case, np.nan) for case in cases] for values in repeats], dtype=np.float64)


def _interval(
    matrix: "NDArray[np.float64]", values: Sequence[Mapping[str, float]], unit: tuple[float, float]
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval over repeats and cases, cut off at ``unit`` if all values lie within 0 and 1."""
    return crossed_interval(matrix, unit if in_unit(*values) else None)
