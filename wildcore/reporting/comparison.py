"""Runs side by side."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from wildcore.errors import Option, UserError
from wildcore.evaluation.schedules import short_description
from wildcore.jobs.build import name_in_words, with_later_parameters
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import Manifest, ScoreRecord, flatten
from wildcore.registry import Registry
from wildcore.reporting.console import results_console, safe_text
from wildcore.reporting.run import NO_SCORE_DEPENDS_ON, number, readable_manifest
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.scoring.orders import over_orders
from wildcore.scoring.retention import at_point, judging_points_of_all
from wildcore.scoring.summary import seconds_per_edit
from wildcore.types import PROBE_KINDS

REVISION = "source revision"
NO_DIFFERENCE = frozenset({"device", "memory_gib"})
"""Hardware fields that ``compare`` ignores, because no result depends on them: the device's index (its type is part of the
identity) and the size of the memory."""


def print_comparison(registry: Registry, folders: Sequence[RunFolder]) -> None:
    """Print runs side by side, and in what they differ besides the editor.

    Runs of one editor in several orders of edits are also summed up. Sequences that were evaluated at different judging
    points are compared at the last one that they share. A parameter that did not exist when one of the runs was made counts
    as set to its default, as on resume. Raises ``UserError`` if the manifest of one lacks something that is printed, and for
    sequences that share no judging point.
    """
    console = results_console()
    manifests = [readable_manifest(folder) for folder in folders]
    scores = _comparable_scores(console, folders, manifests)
    for difference in _other_differences(registry, manifests):
        console.print(safe_text(f"Not like for like: {difference}"))
    runs = [{(row.protocol, row.kind, row.metric): row for row in summarise(of_run)} for of_run in scores]
    table = Table("protocol", "probe", "metric")
    table.add_column("before", justify="right")
    for index, manifest in enumerate(manifests, start=1):
        table.add_column(safe_text(f"{index}: {name_in_words(manifest.identity['editor'])}"), justify="right")
    keys = {key for run in runs for key in run}
    for key in sorted(keys, key=lambda key: (key[0], PROBE_KINDS.index(key[1]), key[2])):
        befores = {number(run[key].before) for run in runs if key in run}
        table.add_row(
            safe_text(key[0]), key[1], safe_text(key[2]), befores.pop() if len(befores) == 1 else "differs",
            *(_with_interval(run.get(key)) for run in runs),
        )  # fmt: skip
    table.add_section()
    table.add_row("seconds per edit", "", "", "", *(_seconds(folder) for folder in folders))
    console.print(table)
    for index, folder in enumerate(folders, start=1):
        console.print(safe_text(f"{index}: {folder.path}"))
    for alike in _in_several_orders(registry, manifests):
        _print_orders(console, name_in_words(manifests[alike[0]].identity["editor"]), [scores[run] for run in alike])


def _comparable_scores(
    console: Console, folders: Sequence[RunFolder], manifests: Sequence[Manifest]
) -> list[list[ScoreRecord]]:
    """Return the scores of each run that can be compared with those of the others. Raises ``UserError`` if there are none."""
    judged = [_judged(folder, manifest) for folder, manifest in zip(folders, manifests, strict=True)]
    sequences = [when for when in judged if when is not None]
    if len(set(sequences)) < 2:
        return [list(folder.scores()) for folder in folders]
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
    console.print(
        safe_text(
            f"The sequences were evaluated at different judging points ({different}). They are compared at the last point that "
            f"they share, after {after} edit{'s' if after > 1 else ''}."
        )
    )
    return [
        list(folder.scores() if when is None else _scores_at(folder, manifest, after))
        for folder, manifest, when in zip(folders, manifests, judged, strict=True)
    ]


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


def _print_orders(console: Console, editor: str, runs: Sequence[Sequence[ScoreRecord]]) -> None:
    console.print()
    table = Table("protocol", "probe", "metric", title=safe_text(f"{editor}: {len(runs)} orders of edits"))
    for column in ("mean", "95 % interval", "lowest", "highest"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in over_orders(runs):
        table.add_row(
            safe_text(row.protocol), row.kind, safe_text(row.metric), number(row.mean),
            f"{row.low:.3f} to {row.high:.3f}", number(row.lowest), number(row.highest),
        )  # fmt: skip
    console.print(table)
    console.print(
        "The interval is over orders and cases, by a bootstrap that draws both. That of a single run is over its cases alone: it "
        "says nothing about another order, because the cases of a sequence share their weights."
    )


def _other_differences(registry: Registry, manifests: Sequence[Manifest]) -> list[str]:
    of_all = set.intersection(*(set(manifest.versions) for manifest in manifests)) | {REVISION}
    return [
        *_differences([_besides_the_editor(registry, manifest) for manifest in manifests]),
        *_differences([_versions(manifest, of_all) for manifest in manifests]),
        *_differences([_hardware(manifest) for manifest in manifests]),
    ]


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


def _seconds(folder: RunFolder) -> str:
    seconds = seconds_per_edit(case.edit for case in folder.cases())
    return "-" if seconds is None else f"{seconds:.2f}"


def _with_interval(row: SummaryRow | None) -> str:
    if row is None or row.after is None:
        return "-"
    interval = "" if row.low is None or row.high is None else f" ({row.low:.2f} to {row.high:.2f})"
    return f"{row.after:.3f}{interval}"
