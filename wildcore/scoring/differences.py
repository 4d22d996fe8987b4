"""Differences between runs and within a run, paired by case, with p-values adjusted within each family."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from wildcore.defaults import SYNTHETIC, WILD
from wildcore.records.schema import ScoreRecord
from wildcore.scoring.orders import crossed_interval, in_unit
from wildcore.scoring.paired import PairedDifference, compare_paired, holm
from wildcore.scoring.resampling import Resamples
from wildcore.scoring.values import Key, Values, case_values
from wildcore.types import PROBE_KINDS, FrozenData, ProbeKind


class RunDifference(FrozenData):
    """The difference of ``run`` minus ``baseline``, both numbered from 1, in one number of their tables.

    ``p_holm`` is the p-value adjusted by Holm within the family: the ``family_size`` differences with a p-value that are
    compared under the same protocol by the same probe kind.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    run: int
    baseline: int
    paired: PairedDifference
    p_holm: float | None
    family_size: int


class RepeatedDifference(FrozenData):
    """The difference of two groups of runs that were repeated alike: in the same ``repetitions`` orders of edits or seeds.

    ``low`` to ``high`` is the 95 % interval over repetitions and cases (``crossed_interval``), None if there is none. There is
    no p-value.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    runs: tuple[int, ...]
    baselines: tuple[int, ...]
    repetitions: int
    difference: float
    low: float | None
    high: float | None
    cases: int


class ChangeByEdits(FrozenData):
    """The difference after the edits minus before them in one number of a run's table."""

    protocol: str
    kind: ProbeKind
    metric: str
    paired: PairedDifference
    p_holm: float | None
    family_size: int


def run_differences(
    runs: Sequence[Mapping[Key, Values]], pairs: Sequence[tuple[int, int]], clusters: Mapping[str, str] | None = None
) -> list[RunDifference]:
    """Return the differences of the ``pairs`` of ``runs``, whose indices are from 0, in each number that both of a pair have.

    One family are all differences under one protocol by one probe kind. ``clusters`` names the cluster of each case that is not
    independent of others.
    """
    resamples = Resamples()
    rows = [
        (key, pair, compare_paired(runs[pair[0]][key], runs[pair[1]][key], clusters, resamples))
        for key in table_order(runs)
        for pair in pairs
        if key in runs[pair[0]] and key in runs[pair[1]]
    ]
    adjusted = _by_family([(key, paired) for key, _, paired in rows])
    return [
        RunDifference(
            protocol=key[0],
            kind=key[1],
            metric=key[2],
            run=pair[0] + 1,
            baseline=pair[1] + 1,
            paired=paired,
            p_holm=p_holm,
            family_size=size,
        )
        for (key, pair, paired), (p_holm, size) in zip(rows, adjusted, strict=True)
    ]


def repeated_difference(
    key: Key, runs: Mapping[int, Values], baselines: Mapping[int, Values]
) -> RepeatedDifference | None:
    """Return the difference of runs and baselines, by their numbers, both in the same order of repetitions. None: they share
    no case.
    """
    import numpy as np  # heavy

    cases = sorted(set.intersection(*(set(values) for values in (*runs.values(), *baselines.values()))))
    if not cases:
        return None
    matrix = np.array(
        [[a[case] - b[case] for case in cases] for a, b in zip(runs.values(), baselines.values(), strict=True)]
    )
    low, high = crossed_interval(matrix, (-1.0, 1.0) if in_unit(*runs.values(), *baselines.values()) else None)
    protocol, kind, metric = key
    return RepeatedDifference(
        protocol=protocol, kind=kind, metric=metric, runs=tuple(runs), baselines=tuple(baselines), repetitions=len(runs),
        difference=float(matrix.mean()), low=low, high=high, cases=len(cases),
    )  # fmt: skip


def changes_by_edits(scores: Iterable[ScoreRecord], clusters: Mapping[str, str] | None = None) -> list[ChangeByEdits]:
    """Return how each number of a run's table changed by the edits; without numbers that have no value before."""
    known = list(scores)
    before, after = case_values(known, "before"), case_values(known, "after")
    resamples = Resamples()
    rows = [
        (key, compare_paired(after[key], before[key], clusters, resamples))
        for key in table_order([after])
        if key in before
    ]
    return [
        ChangeByEdits(protocol=key[0], kind=key[1], metric=key[2], paired=paired, p_holm=p_holm, family_size=size)
        for (key, paired), (p_holm, size) in zip(rows, _by_family(rows), strict=True)
    ]


def synthetic_minus_wild(
    scores: Iterable[ScoreRecord], clusters: Mapping[str, str] | None = None
) -> PairedDifference | None:
    """Return the difference of reliability under the two published protocols, each by its own metric, which comes first. None:
    a run does not have both.
    """
    first: dict[str, Values] = {}
    for (protocol, kind, _), values in case_values(scores).items():
        if kind == "reliability":
            first.setdefault(protocol, values)
    if SYNTHETIC not in first or WILD not in first:
        return None
    return compare_paired(first[SYNTHETIC], first[WILD], clusters)


def all_pairs(count: int) -> list[tuple[int, int]]:
    """Return the indices of all pairs of ``count`` runs: the later one, and the earlier one as its baseline."""
    return [(later, earlier) for earlier, later in combinations(range(count), 2)]


def table_order(runs: Iterable[Iterable[Key]]) -> list[Key]:
    """Return the numbers that any of ``runs`` has, in the order in which tables show them: protocols and metrics in order of
    appearance.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run))
    protocols, metrics = (list(dict.fromkeys(key[place] for key in keys)) for place in (0, 2))
    places = {key: (protocols.index(key[0]), PROBE_KINDS.index(key[1]), metrics.index(key[2])) for key in keys}
    return sorted(keys, key=places.__getitem__)


def _by_family(rows: Sequence[tuple[Key, PairedDifference]]) -> list[tuple[float | None, int]]:
    """Return each difference's adjusted p-value, and the size of its family."""
    families: dict[tuple[str, ProbeKind], list[int]] = defaultdict(list)
    for index, ((protocol, kind, _), _) in enumerate(rows):
        families[protocol, kind].append(index)
    found: dict[int, tuple[float | None, int]] = {}
    for members in families.values():
        p_values = [rows[index][1].p for index in members]
        size = sum(p is not None for p in p_values)
        found.update(zip(members, ((p, size) for p in holm(p_values)), strict=True))
    return [found[index] for index in range(len(rows))]
