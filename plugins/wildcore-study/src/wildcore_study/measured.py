"""What finished runs measured: each number with the values of its cases, and by what it differs from other numbers."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from wildcore import ProbeKind
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import ScoreRecord, flatten
from wildcore.scoring.clusters import cluster_names, subjects
from wildcore.scoring.intervals import interval
from wildcore.scoring.means import summarise
from wildcore.scoring.values import case_values
from wildcore.types import FrozenData
from wildcore_study.devices import kind_of_device
from wildcore_study.published import Setting

NOT_A_SUBJECT = ("protocols", "batch_size", "continuation", "device", "cases", "malformed", "set_aside")
"""Parts of a run's identity by which rows are not told apart: they are columns, or no score depends on them."""
LENGTH = ("limit", "hash")
"""Further such parts of a sequence: its length and its cases."""
REPEATED = ("seed", "dataset.seed", "schedule.order")
"""Parts of a run's identity in which repeats of one experiment differ."""


class Measured(FrozenData):
    """One number of a run, over the cases that were scored.

    ``editor`` names the method with the parameters by which its runs differ from the others in the study. ``method`` is its
    name alone. ``edits`` is the number of edits of the sequence, None for single edits. ``values`` has the mean score of each
    case over its probes, ``repeats`` the same for each seed and order of the edits. ``low`` to ``high`` is the 95 % interval of
    ``mean``, None if there is none. ``devices`` are the kinds of accelerator on which it was measured.
    """

    model: str
    dataset: str
    method: str
    editor: str
    schedule: str
    edits: int | None
    edits_per_update: int | None
    protocol: str
    probe: ProbeKind
    setting: Setting
    metric: str
    values: Mapping[str, float]
    repeats: Mapping[str, Mapping[str, float]]
    devices: tuple[str, ...]
    clusters: Mapping[str, str]
    before: float | None
    mean: float
    low: float | None
    high: float | None
    unscored: int
    refused: int

    @property
    def cases(self) -> int:
        """The number of cases."""
        return len(self.values)


def measured(folders: Sequence[RunFolder], only: Mapping[Path, Collection[str]] | None = None) -> list[Measured]:
    """Return every number of the runs as they were evaluated last, in the order of the runs and of their tables.

    ``only`` names the protocols that count of the run folder at a path (None: all). Repeats are not pooled.
    """
    labels = editor_labels([folder.manifest.identity for folder in folders], repeats_apart=False)
    return [
        number
        for folder, label in zip(folders, labels, strict=True)
        for number in _numbers(folder, label, folder.scores())
        if only is None or number.protocol in only[folder.path]
    ]


def labels_of(folders: Iterable[RunFolder]) -> list[str]:
    """Return the editor of each run, as ``editor_labels`` does."""
    return editor_labels([folder.manifest.identity for folder in folders])


def editor_labels(identities: Sequence[Mapping[str, Any]], repeats_apart: bool = True) -> list[str]:
    """Return the editor's name of each run, with whatever differs between its runs on one model and dataset.

    Sequences of several lengths are told apart by their columns instead. Repeats with another seed or order share a label
    unless ``repeats_apart``. Runs that differ in nothing are numbered, so that they are never mixed, unless they have no
    protocol in common.
    """
    groups: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for index, identity in enumerate(identities):
        name = (identity["model"]["name"], identity["dataset"]["name"], method_of(identity), _schedule(identity))
        groups[name].append(index)
    labels = [method_of(identity) for identity in identities]
    for members in groups.values():
        settings = {index: _told_apart_by(identities[index], repeats_apart) for index in members}
        names = sorted({name for of_run in settings.values() for name in of_run})
        varying = [name for name in names if len({str(of_run.get(name)) for of_run in settings.values()}) > 1]
        for index in members:
            said = [f"{name.rpartition('.')[2]}={settings[index].get(name)}" for name in varying]
            labels[index] += f" ({', '.join(said)})" if said else ""
        _number_repeated(labels, {index: identities[index] for index in members})
    return labels


def repeat_of(identity: Mapping[str, Any]) -> str:
    """Return the seeds and the order of a run, which its repeats do not share.

    The seed by which cases were drawn is named if it is not that of the editor, which an earlier version used for both.
    """
    seed, dataset = identity.get("seed", 0), identity["dataset"]
    drawn = f", sample seed {dataset['seed']}" if dataset.get("sample") and dataset.get("seed", seed) != seed else ""
    return f"seed {seed}{drawn}, {identity.get('schedule', {}).get('order', 'in order')}"


def method_of(identity: Mapping[str, Any]) -> str:
    """Return the name of a run's editor."""
    return str((identity.get("editor") or {}).get("name", "patch"))


def setting_of(modules: Mapping[str, Any], metric: str) -> Setting:
    """Return the modules of a protocol in a run's identity, and a metric without its parameters."""
    named = {module: modules[module]["name"] for module in ("context", "generator", "truncator")}
    bare = re.match(r"[\w-]+", metric)
    return Setting(**named, metric=bare[0] if bare else metric)


def _told_apart_by(identity: Mapping[str, Any], repeats_apart: bool) -> dict[str, Any]:
    left_out = NOT_A_SUBJECT if _schedule(identity) == "single" else (*NOT_A_SUBJECT, *LENGTH)
    repeated: tuple[str, ...] = () if repeats_apart else REPEATED
    if not repeats_apart and identity["dataset"].get("sample"):
        repeated = (*REPEATED, "dataset.hash")  # another sample seed draws other cases
    flat = flatten({name: value for name, value in identity.items() if name not in left_out})
    return {
        name: value for name, value in flat.items() if name.rpartition(".")[2] not in left_out and name not in repeated
    }


def _number_repeated(labels: list[str], identities: Mapping[int, Mapping[str, Any]]) -> None:
    """Number the labels of runs that are equal, have equally many cases and share a protocol, by the indices of the runs."""
    alike: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for index, identity in identities.items():
        alike[labels[index], identity["dataset"]["cases"], repeat_of(identity)].append(index)
    for (label, *_), indices in alike.items():
        rows: list[tuple[set[str], list[int]]] = []
        for index in indices:
            protocols = set(identities[index]["protocols"])
            for taken, members in rows:
                if not taken & protocols:
                    taken |= protocols
                    members.append(index)
                    break
            else:
                rows.append((protocols, [index]))
        if len(rows) > 1:
            for number, (_, members) in enumerate(rows, start=1):
                for index in members:
                    labels[index] = f"{label} #{number}"


def _schedule(identity: Mapping[str, Any]) -> str:
    return str(identity.get("schedule", {}).get("edits", "single"))


def _numbers(folder: RunFolder, label: str, scores: Iterable[ScoreRecord]) -> list[Measured]:
    manifest, known = folder.manifest, list(scores)
    identity = manifest.identity
    clusters = subjects(folder.cases())
    values, before = case_values(known), case_values(known, "before")
    rows = {(row.protocol, row.kind, row.metric): row for row in summarise(known, clusters)}
    sequence = _schedule(identity) != "single"
    found = []
    for key, of_cases in values.items():
        ends = interval(list(of_cases.values()), cluster_names(of_cases, clusters))
        found.append(
            Measured(
                model=identity["model"]["name"],
                dataset=identity["dataset"]["name"],
                method=method_of(identity),
                editor=label,
                schedule=_schedule(identity),
                edits=manifest.case_count if sequence else None,
                edits_per_update=identity["schedule"].get("edits_per_update") if sequence else None,
                protocol=key[0],
                probe=key[1],
                setting=setting_of(identity["protocols"][key[0]], key[2]),
                metric=key[2],
                values=of_cases,
                repeats={repeat_of(identity): of_cases},
                devices=(kind_of_device(manifest.hardware),),
                clusters=clusters,
                before=fmean(before[key].values()) if key in before else None,
                mean=fmean(of_cases.values()),
                low=ends.low,
                high=ends.high,
                unscored=rows[key].unscored,
                refused=rows[key].refused,
            )
        )
    return found
