"""A ranking of editors by one number, such as reliability under the protocol ``wild``, and what the first of it costs."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from wildcore.defaults import WILD
from wildcore.errors import Option, UserError
from wildcore.reporting.comparable import Pair
from wildcore.reporting.distinctions import PARTS, Column, labels
from wildcore.reporting.headline import counted, p_in_words
from wildcore.scoring.clusters import cluster_names
from wildcore.scoring.differences import RunDifference, all_pairs, run_differences, table_order
from wildcore.scoring.intervals import interval
from wildcore.scoring.orders import in_unit
from wildcore.scoring.paired import PairedDifference, compare_paired
from wildcore.scoring.ranks import rank_ranges
from wildcore.scoring.values import Key, Values
from wildcore.types import LOCALITY_KINDS, FrozenData, ProbeKind

MOST_NAMED = 12
"""Number of possible goals that a message lists."""
MOST_TIES_NAMED = 3
"""Number of runs that a sentence lists with their labels."""
RELIABILITY: ProbeKind = "reliability"
STANDS = (
    "A difference stands if its 95 % interval leaves out zero and its p, adjusted by Holm over all pairs of ranked runs under "
    "the protocol by the probe kind, is below 0.05. A rank is a range where differences do not stand."
)
NOT_OF_THE_EDITOR = ("device", "device_map", "revision")
"""Fields of a model's description in which the runs of one ranking may differ."""


class RankedRun(FrozenData):
    """A run in a ranking. Its ``mean`` with the interval from ``low`` to ``high`` is over the cases that all ranked runs have.

    Its rank is from ``best`` to ``worst``: the ranks that the standing differences allow. ``ties`` are the runs from which its
    difference does not stand. ``minus_first`` is its difference from the first run, None for that one. ``p_holm`` is the p-value
    of this difference, adjusted by Holm over all pairs of ranked runs under the protocol by the probe kind, None if there is
    none. ``other`` is its mean in the number that the ranking shows beside it, None if there is none.
    """

    run: int
    label: str
    before: float | None
    mean: float
    low: float | None
    high: float | None
    best: int
    worst: int
    ties: tuple[int, ...]
    minus_first: PairedDifference | None
    p_holm: float | None
    other: float | None


class Price(FrozenData):
    """What the edits of ``run`` change in another number: its ``paired`` difference from the unedited model.

    ``by_definition``: the metric compares with the unedited model, whose own value is therefore 1.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    run: int
    paired: PairedDifference
    by_definition: bool


class Ranking(FrozenData):
    """Runs that differ in their editor, the best first, by one number of which more is better.

    ``conditions`` names what these runs share and other runs of the comparison do not, such as the model. ``cases`` are those
    that all ranked runs have. ``price`` says what the first run costs in locality, or if the ranking is by locality, what it
    reaches in reliability. None: the run has no such number.
    """

    protocol: str
    kind: ProbeKind
    metric: str
    conditions: str
    cases: int
    runs: tuple[RankedRun, ...]
    price: Price | None = None


@dataclass(frozen=True)
class RunToRank:
    """What a ranking needs to know of a run: its values after and before the edits, its editor, and ``conditions``, what its
    numbers depend on besides, by protocol; those of the empty name hold for a protocol whose modules are not recorded.
    """

    number: int
    values: Mapping[Key, Values]
    before: Mapping[Key, Values]
    editor: str
    conditions: Mapping[str, str]

    def conditions_under(self, protocol: str) -> str:
        """Return on what the run's numbers under a protocol depend besides the editor."""
        return self.conditions.get(protocol, self.conditions[""])


@dataclass(frozen=True)
class _Group:
    """Runs that can be ranked against each other, their labels, and what they have in common that other runs have not."""

    runs: Sequence[RunToRank]
    labels: Sequence[str]
    common: str
    clusters: Mapping[str, str]


def goal(by: str | None, runs: Sequence[Mapping[Key, Values]], also_called: Mapping[str, Sequence[str]]) -> Key | None:
    """Return the number by which runs are ranked. ``by`` is PROTOCOL.KIND or PROTOCOL.KIND.METRIC; None: the reliability under
    ``wild``, or else under the first protocol. Without a metric it is the first that most runs have. None is returned if
    ``by`` is None and no run has a number from 0 to 1.

    ``also_called`` are the other names of protocols. Raises ``UserError`` for a number that no run has, or that cannot be
    ranked.
    """
    keys = list(dict.fromkeys(key for of_run in runs for key in of_run))
    ranked = [key for key in keys if all(in_unit(of_run[key]) for of_run in runs if key in of_run)]
    if by is None:
        usual = [key for key in ranked if key[1] == RELIABILITY] or ranked
        wild = [key for key in usual if WILD in (key[0], *also_called.get(key[0], ()))] or usual
        return _first_metric([key for key in wild if key[:2] == wild[0][:2]], runs) if wild else None
    named = _keys_named(by, keys, {}) or _keys_named(by, keys, also_called)
    if not named:
        raise UserError("no run has this number", about=Option("by", by), way_out=_possible(by, keys))
    if not set(named) & set(ranked):
        raise UserError(
            "not all its values are from 0 to 1, so whether more is better is unknown",
            about=Option("by", by),
            way_out=_possible(by, ranked),
        )
    return _first_metric([key for key in named if key in ranked], runs)


def rankings(
    runs: Sequence[RunToRank],
    protocol: str,
    kind: ProbeKind,
    apart: Collection[Pair],
    columns: Sequence[Column],
    clusters: Mapping[str, str],
) -> list[Ranking]:
    """Return the rankings by each metric under ``protocol`` by ``kind``: one for each group of runs that differ in their editor
    and can be compared. ``apart`` are the pairs, by index, that cannot.
    """
    with_it = [run for run in runs if any(key[:2] == (protocol, kind) for key in run.values)]
    groups = [group for group in _groups(with_it, protocol, apart) if len({run.editor for run in group}) > 1]
    return [
        ranking
        for group in groups
        for ranking in _of_group(_Group(group, *_labels(group, runs, columns), clusters), protocol, kind)
    ]


def conditions(identity: Mapping[str, Any], modules: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return on what the numbers of a run depend besides the editor, the cases, the judging point, the metric, and what is
    random, under each protocol. ``modules`` are those of its protocols.
    """
    model = {key: value for key, value in identity["model"].items() if key not in NOT_OF_THE_EDITOR}
    schedule = {key: value for key, value in identity.get("schedule", {}).items() if key not in ("order", "judged")}
    return {
        name: json.dumps([model, schedule, [of_protocol.get(part) for part in PARTS]], sort_keys=True, default=str)
        for name, of_protocol in {"": {}, **modules}.items()
    }


def title(ranking: Ranking) -> str:
    """Return what a ranking is by, for which runs, and over how many cases."""
    of_what = f" for {ranking.conditions}" if ranking.conditions else ""
    cases = f"{ranking.cases} shared case{'' if ranking.cases == 1 else 's'}"
    return f"Ranking by {ranking.protocol}.{ranking.kind} ({ranking.metric}){of_what}, over {cases}"


def rank(run: RankedRun) -> str:
    """Return the rank of a run, as a range if it is one."""
    return str(run.best) if run.best == run.worst else f"{run.best}-{run.worst}"


def price_in_words(ranking: Ranking) -> str | None:
    """Return what the first run of a ranking costs in locality, or reaches in reliability, in one sentence."""
    price = ranking.price
    if price is None or price.paired.difference is None or price.paired.first is None or price.paired.second is None:
        return None
    first, paired = ranking.runs[0], price.paired
    what = "What it costs in locality" if price.kind in LOCALITY_KINDS else "What it reaches in reliability"
    span = (
        "" if paired.low is None or paired.high is None else f", 95 % interval {paired.low:+.3f} to {paired.high:+.3f}"
    )
    return (
        f"{what}: {price.protocol}.{price.kind} ({price.metric}) is {paired.first:.3f} with run {first.run} ({first.label}) and "
        f"{paired.second:.3f} without edits{', by definition' if price.by_definition else ''}: {paired.difference:+.3f}{span}, "
        f"paired over {counted(paired.cases, 'case')}."
    )


def first_in_words(ranking: Ranking) -> str:
    """Return which run is first in a ranking, and which are not told apart from it, in one sentence."""
    first = ranking.runs[0]
    ties = [run for run in ranking.runs if run.run in first.ties]
    beaten = len(ranking.runs) - 1 - len(ties)
    said = f"Run {first.run} ({first.label}) is first with {first.mean:.3f}"
    if not ties:
        return f"{said}; its difference from every other run stands."
    few = len(ties) <= MOST_TIES_NAMED
    named = ", ".join(f"run {run.run}" + (f" ({_tie(run)})" if few else "") for run in ties)
    rest = f"; {beaten} run{'s are' if beaten > 1 else ' is'} worse" if beaten else ""
    return f"{said}, but not told apart from {named}{rest}."


def _tie(run: RankedRun) -> str:
    p = "" if run.p_holm is None else f", {p_in_words(run.p_holm)}"
    return f"{run.label}, {run.mean:.3f}{p}"


def _p_from(first: int, differences: Sequence[RunDifference]) -> dict[int, float | None]:
    """Return the adjusted p-value of the difference of each run from ``first``."""
    of_first = [one for one in differences if first in (one.run, one.baseline)]
    return {one.baseline if one.run == first else one.run: one.p_holm for one in of_first}


def _groups(runs: Sequence[RunToRank], protocol: str, apart: Collection[Pair]) -> Iterator[list[RunToRank]]:
    """Yield the groups of runs that have the same conditions and can all be compared."""
    groups: list[list[RunToRank]] = []
    for run in runs:
        for group in groups:
            same = all(run.conditions_under(protocol) == other.conditions_under(protocol) for other in group)
            if same and not any((other.number - 1, run.number - 1) in apart for other in group):
                group.append(run)
                break
        else:
            groups.append([run])
    yield from groups


def _of_group(group: _Group, protocol: str, kind: ProbeKind) -> Iterator[Ranking]:
    """Yield the rankings of a group by each metric under ``protocol`` by ``kind``."""
    keys = [key for key in table_order([run.values for run in group.runs]) if key[:2] == (protocol, kind)]
    cases = {key: _shared_cases(group.runs, key) for key in keys}
    values = [
        {key: _only(run.values[key], cases[key]) for key in keys if cases[key] and key in run.values}
        for run in group.runs
    ]
    differences = run_differences(values, all_pairs(len(values)), group.clusters)
    for key in keys:
        members = {index: of_run[key] for index, of_run in enumerate(values) if key in of_run}
        if len({group.runs[index].editor for index in members}) > 1 and in_unit(*members.values()):
            of_key = [one for one in differences if (one.protocol, one.kind, one.metric) == key]
            yield _ranking(group, key, members, of_key)


def _ranking(group: _Group, key: Key, members: Mapping[int, Values], differences: Sequence[RunDifference]) -> Ranking:
    """Return the ranking of ``members``, the values of runs by their index in the group, by ``key``.

    ``differences`` are those of all pairs, which number the runs by their place in the group.
    """
    ranges = rank_ranges([index + 1 for index in members], differences)
    means = {index: fmean(values.values()) for index, values in members.items()}
    order = sorted(members, key=lambda index: (-means[index], group.labels[index], group.runs[index].number))
    first, cases = order[0], list(members[order[0]])
    other = _other_number(key, [group.runs[index] for index in members])
    adjusted = _p_from(first + 1, differences)
    ranked = []
    for index in order:
        run, values, ranks = group.runs[index], members[index], ranges[index + 1]
        around = interval(list(values.values()), cluster_names(values, group.clusters))
        beside = {} if other is None else _only(run.values[other], cases)
        ranked.append(
            RankedRun(
                run=run.number,
                label=group.labels[index],
                before=_mean(_only(run.before.get(key, {}), cases)),
                mean=means[index],
                low=around.low,
                high=around.high,
                best=ranks.best,
                worst=ranks.worst,
                ties=tuple(sorted(group.runs[tie - 1].number for tie in ranks.ties)),
                minus_first=None if index == first else compare_paired(values, members[first], group.clusters),
                p_holm=adjusted.get(index + 1),
                other=_mean(beside),
            )
        )
    price = None if other is None else _price(group.runs[first], other, cases, group.clusters)
    protocol, kind, metric = key
    return Ranking(
        protocol=protocol, kind=kind, metric=metric, conditions=group.common, cases=len(cases), runs=tuple(ranked), price=price
    )  # fmt: skip


def _mean(values: Values) -> float | None:
    return fmean(values.values()) if values else None


def _shared_cases(group: Sequence[RunToRank], key: Key) -> list[str]:
    """Return the cases that every run of a group has which was scored in this number at all."""
    having = [run.values[key] for run in group if key in run.values]
    return [case for case in having[0] if all(case in values for values in having)]


def _labels(group: Sequence[RunToRank], every: Sequence[RunToRank], columns: Sequence[Column]) -> tuple[list[str], str]:
    """Return the label of each run of a group, of what differs within the group, and what the group has in common."""
    within = [
        column.model_copy(update={"values": tuple(column.values[run.number - 1] for run in group)})
        for column in columns
    ]
    differing = [column for column in within if len(set(column.values)) > 1]
    common = [column for column in within if len(set(column.values)) == 1 and column.in_labels]
    said = ", ".join(f"{column.name} {column.values[0]}" for column in common if column.values[0])
    return labels(differing, len(group)), said if len(group) < len(every) else ""


def _other_number(key: Key, group: Iterable[RunToRank]) -> Key | None:
    """Return the number that is shown beside the one by which a ranking is made: locality, or for a ranking by locality,
    reliability. It is under the same protocol, or else under the first that has it. None: not all runs have such a number.
    """
    runs = [run.values for run in group]
    wanted = (RELIABILITY,) if key[1] in LOCALITY_KINDS else LOCALITY_KINDS
    keys = [one for one in runs[0] if one[1] in wanted and all(one in values for values in runs)]
    keys = [one for one in keys if all(in_unit(values[one]) for values in runs)]
    return min(keys, key=lambda one: (one[0] != key[0], one[0] != WILD, wanted.index(one[1])), default=None)


def _only(values: Values, cases: Sequence[str]) -> Values:
    return {case: values[case] for case in cases if case in values}


def _price(run: RunToRank, key: Key, cases: Sequence[str], clusters: Mapping[str, str]) -> Price:
    after, before = _only(run.values[key], cases), run.before.get(key)
    unedited = before if before is not None else dict.fromkeys(after, 1.0)
    paired = compare_paired(after, unedited, clusters)
    protocol, kind, metric = key
    return Price(
        protocol=protocol, kind=kind, metric=metric, run=run.number, paired=paired, by_definition=before is None
    )  # fmt: skip


def _first_metric(keys: Sequence[Key], runs: Sequence[Mapping[Key, Values]]) -> Key:
    """Return the number that most runs have; of several, the first."""
    return max(dict.fromkeys(keys), key=lambda key: sum(key in of_run for of_run in runs))


def _keys_named(by: str, keys: Sequence[Key], also_called: Mapping[str, Sequence[str]]) -> list[Key]:
    """Return the numbers that ``by`` names."""
    return [
        (protocol, kind, metric)
        for protocol, kind, metric in keys
        for name in (protocol, *also_called.get(protocol, ()))
        if by in (f"{name}.{kind}", f"{name}.{kind}.{metric}")
    ]


def _possible(by: str, keys: Sequence[Key]) -> str:
    """Return which goals are possible: the metrics, if only these are wrong, or the numbers."""
    numbers = list(dict.fromkeys(f"{protocol}.{kind}" for protocol, kind, _ in keys))
    number = next((one for one in numbers if by.startswith(f"{one}.")), None)
    if number is not None:
        metrics = dict.fromkeys(metric for protocol, kind, metric in keys if f"{protocol}.{kind}" == number)
        return f"{number} has the metrics {', '.join(metrics)}"
    listed = f"choose one of {', '.join(numbers[:MOST_NAMED])}" + (", ..." if len(numbers) > MOST_NAMED else "")
    return listed if numbers else "no number can be ranked"
