"""Runs compared: their numbers, in what they differ, and their differences paired by case."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from wildcore.equivalence import canonical
from wildcore.errors import Option, UserError
from wildcore.evaluation.schedules import short_description
from wildcore.jobs.build import name_in_words, with_later_parameters
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, Manifest, ScoreRecord, flatten
from wildcore.registry import Registry
from wildcore.reporting.run import NO_SCORE_DEPENDS_ON, readable_manifest
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import (
    RepeatedDifference,
    RunDifference,
    all_pairs,
    repeated_difference,
    run_differences,
    table_order,
)
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.scoring.orders import OrdersRow, over_orders
from wildcore.scoring.power import LEVEL
from wildcore.scoring.retention import at_point, judging_points_of_all
from wildcore.scoring.summary import seconds_per_edit
from wildcore.scoring.values import Key, Values, case_values
from wildcore.types import FrozenData

REVISION = "source revision"
NO_DIFFERENCE = frozenset({"device", "memory_gib"})
"""Hardware fields that ``compare`` ignores, because no result depends on them: the device's index (its type is part of the
identity) and the size of the memory."""


class ComparedRun(FrozenData):
    """A run of a comparison, by its number from 1. ``seconds_per_edit`` None: no edit was made."""

    run: int
    path: str
    editor: str
    model: str
    dataset: str
    seconds_per_edit: float | None
    numbers: tuple[SummaryRow, ...]


class Orders(FrozenData):
    """Runs of one editor that differ in the order of their edits alone, by number, and their numbers over orders."""

    editor: str
    runs: tuple[int, ...]
    numbers: tuple[OrdersRow, ...]


class Comparison(FrozenData):
    """Runs side by side.

    ``differs`` says in what they differ besides the editor. ``judged_after`` is the judging point at which sequences with
    different judging points are compared (None: each at its last one), ``judged_differently`` names these. ``differences`` are
    those of each run minus the run ``baseline``. ``best`` lists the numbers in which one run is better than every other: the
    p-value of its difference from the second-best, adjusted by Holm over all pairs of runs under the protocol by the probe
    kind, is below 0.05. It is None if that was not asked for.
    """

    baseline: int
    runs: tuple[ComparedRun, ...]
    differs: tuple[str, ...]
    judged_differently: str | None
    judged_after: int | None
    clusters: int
    differences: tuple[RunDifference, ...]
    repeated: tuple[RepeatedDifference, ...]
    orders: tuple[Orders, ...]
    best: tuple[tuple[str, str, str, int], ...] | None


def compared(
    registry: Registry, folders: Sequence[RunFolder], baseline: int = 0, with_best: bool = False
) -> Comparison:
    """Compare runs with the one whose index is ``baseline``.

    A parameter that did not exist when one of the runs was made counts as set to its default, as on resume. Sequences that were
    evaluated at different judging points are compared at the last one that they share. Raises ``UserError`` if the manifest
    of one lacks something that is shown, and for runs that cannot be compared: of different datasets, without a case in
    common, or sequences that share no judging point.
    """
    manifests = [readable_manifest(folder) for folder in folders]
    cases = [{case.case: case for case in folder.cases()} for folder in folders]
    datasets = [with_later_parameters(registry, manifest.identity)["dataset"]["name"] for manifest in manifests]
    _require_comparable(folders, datasets, cases, baseline)
    scores, different, after = _comparable_scores(folders, manifests)
    clusters = subjects({name: case for of_run in cases for name, case in of_run.items()}.values())
    values = [case_values(of_run) for of_run in scores]
    pairs = [(index, baseline) for index in range(len(folders)) if index != baseline]
    return Comparison(
        baseline=baseline + 1,
        runs=tuple(
            ComparedRun(
                run=number,
                path=str(folder.path),
                editor=name_in_words(manifest.identity["editor"]),
                model=manifest.identity["model"]["name"],
                dataset=manifest.identity["dataset"]["name"],
                seconds_per_edit=seconds_per_edit(case.edit for case in of_run.values()),
                numbers=tuple(summarise(of_scores, clusters)),
            )
            for number, (folder, manifest, of_run, of_scores) in enumerate(
                zip(folders, manifests, cases, scores, strict=True), start=1
            )
        ),
        differs=tuple(_other_differences(registry, manifests)),
        judged_differently=different,
        judged_after=after,
        clusters=len(set(clusters.values())),
        differences=tuple(run_differences(values, pairs, clusters)),
        repeated=tuple(_repeated(registry, manifests, values, baseline)),
        orders=tuple(
            Orders(
                editor=name_in_words(manifests[alike[0]].identity["editor"]),
                runs=tuple(index + 1 for index in alike),
                numbers=tuple(over_orders([scores[index] for index in alike])),
            )
            for alike in _in_several_orders(registry, manifests)
        ),
        best=tuple(_best(values, clusters)) if with_best else None,
    )


def _require_comparable(
    folders: Sequence[RunFolder],
    datasets: Sequence[str],
    cases: Sequence[Mapping[str, CaseRecord]],
    baseline: int,
) -> None:
    """Raise ``UserError`` for runs that ask about different facts."""
    for folder, dataset, of_run in zip(folders, datasets, cases, strict=True):
        about = f"{folders[baseline].path}, {folder.path}"
        if dataset != datasets[baseline]:
            raise UserError(
                f"the datasets differ ({datasets[baseline]} and {dataset}), so no case of one is a case of the other",
                about=about,
                way_out="compare runs of one dataset",
            )
        shared = of_run.keys() & cases[baseline].keys()
        if not shared and of_run and cases[baseline]:
            raise UserError(
                f"they have no case in common ({_some(cases[baseline])} and {_some(of_run)})",
                about=about,
                way_out="compare runs that evaluate the same cases",
            )
        for case in sorted(shared):
            here, there = cases[baseline][case].request, of_run[case].request
            if [canonical(x) for x in (here.prompt, here.target)] != [
                canonical(x) for x in (there.prompt, there.target)
            ]:
                raise UserError(
                    f"case {case} is another fact in each ({here.prompt!r} -> {here.target!r} and {there.prompt!r} -> "
                    f"{there.target!r}), so the data differ",
                    about=about,
                    way_out="compare runs of the same data",
                )


def _some(cases: Mapping[str, CaseRecord]) -> str:
    names = list(cases)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _comparable_scores(
    folders: Sequence[RunFolder], manifests: Sequence[Manifest]
) -> tuple[list[list[ScoreRecord]], str | None, int | None]:
    """Return the scores of each run that can be compared with those of the others; if sequences were evaluated at different
    judging points, these in words, and the last one that they share. Raises ``UserError`` if they share none.
    """
    judged = [_judged(folder, manifest) for folder, manifest in zip(folders, manifests, strict=True)]
    sequences = [when for when in judged if when is not None]
    if len(set(sequences)) < 2:
        return [list(folder.scores()) for folder in folders], None, None
    points = [judging_points_of_all(folder) for folder, when in zip(folders, judged, strict=True) if when is not None]
    shared = set.intersection(*(set(of_run.items()) for of_run in points))
    different = " and ".join(dict.fromkeys(f"{when!r}" for when in sequences))
    if not shared:
        raise UserError(
            f"the cases were evaluated at different judging points ({different}), and a number depends on how many edits were "
            "made before; no judging point with the same cases is shared by all",
            about=", ".join(str(folder.path) for folder in folders),
            way_out=("compare runs with the same ", Option("judge_at")),
        )
    after = max(edits for edits, _ in shared)
    scores = [
        list(folder.scores() if when is None else _scores_at(folder, manifest, after))
        for folder, manifest, when in zip(folders, manifests, judged, strict=True)
    ]
    return scores, different, after


def _scores_at(folder: RunFolder, manifest: Manifest, after: int) -> Iterator[ScoreRecord]:
    """Read the scores of the judging point ``after`` a number of edits."""
    return (score for score in folder.all_scores() if at_point(score, manifest.case_count) == after)


def _judged(folder: RunFolder, manifest: Manifest) -> str | None:
    """Return when the cases of a sequence were evaluated, and after how many edits last. None: the run is not of a sequence."""
    schedule = manifest.identity.get("schedule", {})
    if schedule.get("edits") != "sequential":
        return None
    last = max((at_point(record, manifest.case_count) for record in folder.records()), default=0)
    return f"{schedule['judged']}; the last after {last}"


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


def _best(values: Sequence[Mapping[Key, Values]], clusters: Mapping[str, str]) -> Iterator[tuple[str, str, str, int]]:
    """Yield each number in which one run is better than the second-best, and the run. Numbers of which it is not known whether
    more is better, because they lie outside 0 to 1, are left out.
    """
    differences = run_differences(values, all_pairs(len(values)), clusters)
    for key in table_order(values):
        means = {n: fmean(run[key].values()) for n, run in enumerate(values, start=1) if key in run}
        if len(means) < 2 or any(not 0 <= value <= 1 for run in values for value in run.get(key, {}).values()):
            continue
        first, second = sorted(means, key=lambda n: -means[n])[:2]
        for one in differences:
            if (one.protocol, one.kind, one.metric) == key and {one.run, one.baseline} == {first, second}:
                wins = (one.paired.difference or 0) * (1 if one.run == first else -1) > 0
                if wins and one.p_holm is not None and one.p_holm < LEVEL:
                    yield (*key, first)


def _other_differences(registry: Registry, manifests: Sequence[Manifest]) -> list[str]:
    of_all = set.intersection(*(set(manifest.versions) for manifest in manifests)) | {REVISION}
    return [
        *_differences([_editor(manifest) for manifest in manifests] if _same_names(manifests) else []),
        *_differences([_besides_the_editor(registry, manifest) for manifest in manifests]),
        *_differences([_versions(manifest, of_all) for manifest in manifests]),
        *_differences([_hardware(manifest) for manifest in manifests]),
    ]


def _same_names(manifests: Sequence[Manifest]) -> bool:
    return len({name_in_words(manifest.identity["editor"]) for manifest in manifests}) == 1


def _editor(manifest: Manifest) -> dict[str, Any]:
    return flatten({"editor": manifest.identity["editor"]})


def _differences(said: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = sorted({key for one in said for key in one})
    values = {key: sorted({str(one.get(key)) for one in said}) for key in keys}
    return [f"{key} is {' or '.join(found)}" for key, found in values.items() if len(found) > 1]


def _besides_the_editor(registry: Registry, manifest: Manifest) -> dict[str, Any]:
    identity = with_later_parameters(registry, manifest.identity)
    rest = {key: value for key, value in identity.items() if key not in ("editor", NO_SCORE_DEPENDS_ON)}
    return flatten(rest | ({"schedule": short_description(rest["schedule"])} if "schedule" in rest else {}))


def _versions(manifest: Manifest, chosen: Container[str]) -> dict[str, str]:
    """Return the versions of packages. A package that one run did without affects no result, so ``chosen`` are those of all
    runs.
    """
    return {f"version of {name}": version for name, version in manifest.versions.items() if name in chosen}


def _hardware(manifest: Manifest) -> dict[str, Any]:
    return {f"hardware.{key}": value for key, value in manifest.hardware.items() if key not in NO_DIFFERENCE}
