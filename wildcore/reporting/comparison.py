"""Runs side by side."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from rich.table import Table

from wildcore.evaluation.schedules import short_description
from wildcore.jobs.build import name_in_words, with_later_parameters
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import Manifest, flatten
from wildcore.registry import Registry
from wildcore.reporting.console import results_console, safe_text
from wildcore.reporting.run import NO_SCORE_DEPENDS_ON, number, readable_manifest
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.scoring.summary import seconds_per_edit
from wildcore.types import PROBE_KINDS

REVISION = "source revision"
NO_DIFFERENCE = frozenset({"device", "memory_gib"})
"""Hardware fields that ``compare`` ignores, because no result depends on them: the device's index (its type is part of the
identity) and the size of the memory."""


def print_comparison(registry: Registry, folders: Sequence[RunFolder]) -> None:
    """Print runs side by side, and in what they differ besides the editor.

    A parameter that did not exist when one of the runs was made counts as set to its default, as on resume.
    Raises ``UserError`` if the manifest of one lacks something that is printed.
    """
    console = results_console()
    manifests = [readable_manifest(folder) for folder in folders]
    for difference in _other_differences(registry, manifests):
        console.print(safe_text(f"Not like for like: {difference}"))
    runs = [{(row.protocol, row.kind, row.metric): row for row in summarise(folder.scores())} for folder in folders]
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
