"""A copy of a run that may be shown to anyone: without paths of the machine, and valid as a run folder of its own."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

from wildcore import FrozenData
from wildcore.records.lines import line_of, whole_lines
from wildcore.records.run_folder import LINES, MANIFEST, RunFolder
from wildcore.records.schema import Manifest, flatten
from wildcore.records.summary_file import FILES
from wildcore.records.summary_file import NAME as SUMMARY
from wildcore.storage import unsealed
from wildcore_leaderboard.private import without_paths

WHAT_A_MODEL_READ = ("request", "probes", "tags", "case")
"""Fields of a line of the journal that are the dataset's or the model's own texts, which are never changed."""


def shareable_copy(run: RunFolder, place: Path) -> list[str]:
    """Copy a run to the new folder ``place`` with every path shortened, and return the fields in which one was.

    Files in which nothing changes are copied as they are. Others get new checksums, so that the copy can be checked like the
    run. Checkpoints and traces, which no result depends on, are not copied.
    """
    changed: list[str] = []
    manifest = run.manifest.model_dump(mode="json", by_alias=True)
    clean = without_paths(manifest)
    changed += _changed_fields(MANIFEST, manifest, clean)
    RunFolder.create(place, Manifest.model_validate(clean))
    if clean == manifest:
        copyfile(run.path / MANIFEST, place / MANIFEST)
    for name, model in LINES.items():
        if (run.path / name).is_file():
            changed += _copy_lines(run.path / name, place / name, model)
    summary = json.loads(unsealed((run.path / SUMMARY).read_bytes()))
    clean_summary = without_paths(summary)
    changed += _changed_fields(SUMMARY, summary, clean_summary)
    if changed:
        clean_summary.pop(FILES, None)
        RunFolder(place).write_summary(clean_summary)
    else:
        copyfile(run.path / SUMMARY, place / SUMMARY)
    return list(dict.fromkeys(changed))


def _copy_lines(source: Path, place: Path, model: type[FrozenData]) -> list[str]:
    """Copy the lines of a file; a line that holds a path is written anew. Return the fields in which one was."""
    changed: list[str] = []
    with place.open("wb") as stream:
        for line in whole_lines(source):
            found = json.loads(unsealed(line.text))
            clean = _clean_line(found)
            if clean == found:
                stream.write(line.text)
            else:
                changed += _changed_fields(source.name, found, clean)
                stream.write(line_of(model.model_validate(clean)).encode())
    return changed


def _clean_line(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if name in WHAT_A_MODEL_READ else without_paths(value) for name, value in found.items()}


def _changed_fields(name: str, before: Any, after: Any) -> Iterator[str]:
    """Yield the fields that differ, as FILE: FIELD."""
    then, now = flatten(before), flatten(after)
    return (f"{name}: {key}" for key in then if key not in now or now[key] != then[key])
