"""Runs compared: their numbers, in what they differ, their differences paired by case, and a ranking of editors."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pydantic import computed_field

from wildcore.errors import command
from wildcore.evaluation.schedules import short_description
from wildcore.jobs.build import name_in_words, with_later_parameters
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, Manifest, ScoreRecord, flatten
from wildcore.registry import Registry
from wildcore.reporting.comparable import Pair, about_judging_points, different_facts, scores_to_compare
from wildcore.reporting.distinctions import (
    PARTS,
    Column,
    aligned,
    aligned_protocols,
    also_called,
    beside_the_columns,
    columns,
    differences,
    labels,
    versions_and_hardware,
)
from wildcore.reporting.ranking import Ranking, RunToRank, conditions, goal, rankings
from wildcore.reporting.run import NO_SCORE_DEPENDS_ON, readable_manifest
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import (
    RepeatedDifference,
    RunDifference,
    repeated_difference,
    run_differences,
    table_order,
)
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.scoring.orders import OrdersRow, over_orders
from wildcore.scoring.summary import seconds_per_edit
from wildcore.scoring.values import Key, Values, case_values
from wildcore.types import FrozenData, ProbeKind

MOST_NUMBERS = 4
"""Number of probe kinds under protocols that a sentence lists."""


class ComparedRun(FrozenData):
    """A run of a comparison, by its number from 1. ``label`` names it by what differs from the other runs. ``protocols`` are the
    own names of protocols that are compared under another name, by this name. ``seconds_per_edit`` None: no edit was made.
    """

    run: int
    label: str
    path: str
    editor: str
    model: str
    dataset: str
    cases: int
    protocols: Mapping[str, str]
    seconds_per_edit: float | None
    numbers: tuple[SummaryRow, ...]


class Orders(FrozenData):
    """Runs of one editor that differ in the order of their edits alone, by number, and their numbers over orders."""

    editor: str
    runs: tuple[int, ...]
    numbers: tuple[OrdersRow, ...]


class Comparison(FrozenData):
    """Runs side by side.

    ``columns`` are the things in which the runs differ, and ``differs`` says the same in words, with versions and hardware.
    ``beside`` are those of ``differs`` that have no column. ``incomparable`` says why no difference is computed between some
    runs or numbers, in one sentence for each reason, and ``meaning`` what a difference means between runs that differ in more
    than their editor. ``judged_after`` is the judging point at which sequences with different judging points are compared
    (None: each at its last one), ``judged_differently`` names these.

    ``differences`` are those of each run minus the run ``baseline``. ``by`` is the number that was asked for: its protocol,
    probe kind and metric. ``rankings`` are by this number, one for each group of runs that differ in their editor alone.
    ``all_rankings`` are those by every number; None if they were not asked for.
    """

    baseline: int
    runs: tuple[ComparedRun, ...]
    columns: tuple[Column, ...]
    differs: tuple[str, ...]
    beside: tuple[str, ...]
    incomparable: tuple[str, ...]
    meaning: tuple[str, ...]
    judged_differently: str | None
    judged_after: int | None
    clusters: int
    differences: tuple[RunDifference, ...]
    repeated: tuple[RepeatedDifference, ...]
    orders: tuple[Orders, ...]
    by: Key | None
    rankings: tuple[Ranking, ...]
    all_rankings: tuple[Ranking, ...] | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def best(self) -> tuple[tuple[str, str, str, int], ...]:
        """The numbers in which one run is better than every other of its ranking by a difference that stands, and this run."""
        found = {
            (one.protocol, one.kind, one.metric, one.runs[0].run)
            for one in self.all_rankings or ()
            if one.runs[0].worst == 1
        }
        return tuple(sorted(found))


@dataclass(frozen=True)
class _Run:
    """A run as it is read: with the identity in the terms of today, and numbers under the names of protocols that are shared."""

    folder: RunFolder
    manifest: Manifest
    identity: Mapping[str, Any]
    cases: Mapping[str, CaseRecord]
    names: Mapping[str, str]
    scores: Sequence[ScoreRecord]
    values: Mapping[Key, Values]
    before: Mapping[Key, Values]


def compared(
    registry: Registry,
    folders: Sequence[RunFolder],
    baseline: int = 0,
    by: str | None = None,
    with_all_rankings: bool = False,
) -> Comparison:
    """Compare runs with the one whose index is ``baseline``, and rank them ``by`` a number (``wildcore.reporting.ranking.goal``).

    A parameter that did not exist when one of the runs was made counts as set to its default, as on resume. A variant of a
    protocol is compared with the protocol. Sequences that were evaluated at different judging points are compared at the last
    one that they share. Raises ``UserError`` if the manifest of one lacks something that is shown, and for a number ``by``
    which nothing can be ranked.
    """
    manifests = [readable_manifest(folder) for folder in folders]
    chosen = scores_to_compare(folders, manifests)
    runs = _read(registry, folders, manifests, chosen.scores)
    identities, names = [run.identity for run in runs], [run.names for run in runs]
    no_facts, why = different_facts([one["dataset"]["name"] for one in identities], [run.cases for run in runs])
    apart = no_facts | chosen.apart
    judged = about_judging_points(chosen)
    values = [run.values for run in runs]
    by_key = goal(by, values, also_called(manifests, names))
    clusters = subjects({name: case for run in runs for name, case in run.cases.items()}.values())
    found = columns(identities, names)
    to_rank = [_to_rank(number, run) for number, run in enumerate(runs, start=1)]
    wanted = dict.fromkeys(key[:2] for key in table_order(values)) if with_all_rankings else ()
    every = [one for which in wanted for one in rankings(to_rank, *which, apart, found, clusters)]
    asked = every if with_all_rankings or by_key is None else rankings(to_rank, *by_key[:2], apart, found, clusters)
    return Comparison(
        baseline=baseline + 1,
        runs=tuple(_shown(runs, labels(found, len(runs)), clusters)),
        columns=tuple(found),
        differs=tuple(_differences(registry, manifests)),
        beside=tuple(beside_the_columns(identities, manifests)),
        incomparable=(*why, *([judged] if judged else ()), *_other_metrics(runs), *_own_protocols(runs)),
        meaning=tuple(_meaning(found, by_key)),
        judged_differently=chosen.differently,
        judged_after=chosen.after,
        clusters=len(set(clusters.values())),
        differences=tuple(run_differences(values, _pairs(len(runs), baseline, apart), clusters)),
        repeated=tuple(_repeated(registry, manifests, values, baseline)),
        orders=tuple(
            Orders(
                editor=name_in_words(manifests[alike[0]].identity["editor"]),
                runs=tuple(index + 1 for index in alike),
                numbers=tuple(over_orders([runs[index].scores for index in alike])),
            )
            for alike in _in_several_orders(registry, manifests)
        ),
        by=by_key,
        rankings=tuple(one for one in asked if (one.protocol, one.kind, one.metric) == by_key),
        all_rankings=tuple(every) if with_all_rankings else None,
    )


def _read(
    registry: Registry,
    folders: Sequence[RunFolder],
    manifests: Sequence[Manifest],
    scores: Sequence[Sequence[ScoreRecord]],
) -> list[_Run]:
    names = aligned_protocols(manifests)
    return [
        _Run(
            folder=folder,
            manifest=manifest,
            identity=with_later_parameters(registry, manifest.identity),
            cases={case.case: case.model_copy(update={"probes": ()}) for case in folder.cases()},  # for memory
            names=of_run,
            scores=of_scores,
            values=_renamed(case_values(of_scores), of_run),
            before=_renamed(case_values(of_scores, "before"), of_run),
        )
        for folder, manifest, of_run, of_scores in zip(folders, manifests, names, scores, strict=True)
    ]


def _renamed(values: Mapping[Key, Values], names: Mapping[str, str]) -> dict[Key, Values]:
    return {
        (names.get(protocol, protocol), kind, metric): of_key for (protocol, kind, metric), of_key in values.items()
    }


def _to_rank(number: int, run: _Run) -> RunToRank:
    return RunToRank(
        number=number,
        values=run.values,
        before=run.before,
        editor=json.dumps(run.identity["editor"], sort_keys=True, default=str),
        conditions=conditions(run.identity, aligned(run.identity, run.names)),
    )


def _shown(runs: Sequence[_Run], named: Sequence[str], clusters: Mapping[str, str]) -> Iterator[ComparedRun]:
    for number, (run, label) in enumerate(zip(runs, named, strict=True), start=1):
        rows = summarise(run.scores, clusters)
        yield ComparedRun(
            run=number,
            label=label or name_in_words(run.identity["editor"]),
            path=str(run.folder.path),
            editor=name_in_words(run.identity["editor"]),
            model=run.identity["model"]["name"],
            dataset=run.identity["dataset"]["name"],
            cases=len(run.cases),
            protocols={new: old for old, new in run.names.items() if old != new},
            seconds_per_edit=seconds_per_edit(case.edit for case in run.cases.values()),
            numbers=tuple(
                row.model_copy(update={"protocol": run.names.get(row.protocol, row.protocol)}) for row in rows
            ),
        )


def _pairs(count: int, baseline: int, apart: Iterable[Pair]) -> list[tuple[int, int]]:
    """Return the pairs of each run and the baseline that can be compared."""
    without = {frozenset(pair) for pair in apart}
    return [
        (index, baseline) for index in range(count) if index != baseline and frozenset((index, baseline)) not in without
    ]


def _other_metrics(runs: Sequence[_Run]) -> Iterator[str]:
    """Say for which numbers two runs have no metric in common."""
    numbers: dict[tuple[str, ProbeKind], list[set[str]]] = {}
    for run in runs:
        of_run: dict[tuple[str, ProbeKind], set[str]] = {}
        for protocol, kind, metric in run.values:
            of_run.setdefault((protocol, kind), set()).add(metric)
        for number, metrics in of_run.items():
            numbers.setdefault(number, []).append(metrics)
    other = [
        f"{protocol}.{kind}"
        for (protocol, kind), found in numbers.items()
        if any(not one & another for one, another in combinations(found, 2))
    ]
    if other:
        listed = ", ".join(other[:MOST_NUMBERS]) + (", ..." if len(other) > MOST_NUMBERS else "")
        yield (
            f"Some runs have no metric in common for {listed}: no difference is computed between different metrics; "
            f"{command('score')} adds a metric to a finished run."
        )


def _own_protocols(runs: Sequence[_Run]) -> Iterator[str]:
    """Say which protocols only some runs have."""
    having: dict[str, list[int]] = {}
    for number, run in enumerate(runs, start=1):
        for protocol in dict.fromkeys(protocol for protocol, _, _ in run.values):
            having.setdefault(protocol, []).append(number)
    groups: dict[tuple[int, ...], list[str]] = {}
    for protocol, numbers in having.items():
        if len(numbers) < len(runs):
            groups.setdefault(tuple(numbers), []).append(protocol)
    if groups:
        said = (
            f"{', '.join(protocols)} (run{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))})"
            for numbers, protocols in groups.items()
        )
        yield f"Protocols that only some runs have: {'; '.join(said)}."


def _meaning(found: Sequence[Column], by: Key | None) -> Iterator[str]:
    """Say what a difference means between runs that differ in something else than the editor and what is random."""
    names = [column.name for column in found]
    if "model" in names:
        yield (
            "Runs on different models are never ranked against each other: a difference between them, paired by fact, is one "
            "between models, including what each answered before the edits, not between editors."
        )
    of_protocol = [f"{by[0]}.{part}" for part in PARTS] if by else []
    chosen = [name for name in names if name in ("dtype", "schedule", *PARTS, *of_protocol)]
    if chosen:
        yield (
            f"Runs that differ in {' or '.join(chosen)} are not ranked against each other: with one editor, a difference between "
            "them is what this choice changes."
        )


def _in_several_orders(registry: Registry, manifests: Sequence[Manifest]) -> list[list[int]]:
    """Return the indices of runs that differ in the order of their edits alone, for each group of several."""
    groups: dict[str, list[int]] = {}
    for index, manifest in enumerate(manifests):
        schedule = manifest.identity.get("schedule", {})
        if schedule.get("edits") in ("batch", "sequential"):
            rest = {key: value for key, value in schedule.items() if key != "order"}
            same = {**with_later_parameters(registry, manifest.identity), "schedule": rest}
            groups.setdefault(json.dumps(same, sort_keys=True), []).append(index)
    return [alike for alike in groups.values() if len({str(manifests[i].identity["schedule"]) for i in alike}) > 1]


def _repeated(
    registry: Registry, manifests: Sequence[Manifest], values: Sequence[Mapping[Key, Values]], baseline: int
) -> Iterator[RepeatedDifference]:
    """Yield the differences of groups of runs that were repeated in the same orders or seeds, from the group of the baseline."""
    groups: dict[str, dict[str, int]] = {}
    for index, manifest in enumerate(manifests):
        same, repetition = _apart_from_repetition(registry, manifest)
        groups.setdefault(same, {}).setdefault(repetition, index)
    base_name, _ = _apart_from_repetition(registry, manifests[baseline])
    base = groups.pop(base_name)
    for group in groups.values():
        both = [repetition for repetition in base if repetition in group]
        if len(both) < 2:
            continue
        chosen, bases = [group[one] for one in both], [base[one] for one in both]
        for key in table_order(values[index] for index in (*chosen, *bases)):
            if all(key in values[index] for index in (*chosen, *bases)):
                found = repeated_difference(
                    key, {i + 1: values[i][key] for i in chosen}, {i + 1: values[i][key] for i in bases}
                )
                if found is not None:
                    yield found


def _apart_from_repetition(registry: Registry, manifest: Manifest) -> tuple[str, str]:
    """Return what a run's answers depend on, without the order of its edits and its seed; and these two."""
    identity = dict(with_later_parameters(registry, manifest.identity))
    schedule = dict(identity.get("schedule", {}))
    repetition = [schedule.pop("order", None), identity.pop("seed", None)]
    dataset = {
        key: value for key, value in identity["dataset"].items() if key != "seed"
    }  # its cases are told by their hash
    same = {**identity, "schedule": schedule, "dataset": dataset}
    return json.dumps(same, sort_keys=True, default=str), json.dumps(repetition, default=str)


def _differences(registry: Registry, manifests: Sequence[Manifest]) -> list[str]:
    """Return in words everything in which runs differ, the parameters of the editor only if all have the same editor."""
    one_editor = len({name_in_words(manifest.identity["editor"]) for manifest in manifests}) == 1
    identities = [with_later_parameters(registry, manifest.identity) for manifest in manifests]
    editors = [flatten({"editor": identity["editor"]}) for identity in identities] if one_editor else []
    rest = [_besides_the_editor(identity) for identity in identities]
    return [*differences(editors), *differences(rest), *versions_and_hardware(manifests)]


def _besides_the_editor(identity: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in identity.items() if key not in ("editor", NO_SCORE_DEPENDS_ON)}
    return flatten(rest | ({"schedule": short_description(rest["schedule"])} if "schedule" in rest else {}))
