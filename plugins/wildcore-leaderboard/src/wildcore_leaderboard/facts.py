"""Whether the facts of a run are those of its dataset: the hash of the dataset is computed again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wildcore import EditCase, Option, Probe, UserError
from wildcore.datasets.selection import CaseFilter, CaseReader, content_hash
from wildcore.jobs.build import make
from wildcore.records.schema import CaseRecord
from wildcore.registry import Registry
from wildcore_leaderboard.findings import Problem, Unchecked
from wildcore_leaderboard.recorded import Recorded

DATASET = "dataset"
"""Name under which the dataset is among the things that were not checked."""
JOURNAL = "journal.jsonl"
SOURCES = frozenset({"path", "hub"})
"""Parameters of datasets that are not bundled with their plugin."""
NOT_TOLD = (
    "the facts in the journal do not give the dataset's hash: they were changed, or the dataset has rival answers or an order "
    "that the journal does not record"
)


def of_journal(record: CaseRecord) -> EditCase:
    """Return the case of a record as the dataset gave it, except for rival answers, which are not recorded.

    Probes of hard locality, which a run adds, are left out.
    """
    return EditCase(id=record.case, request=record.request, probes=_probes(record), tags=record.tags)


def _probes(record: CaseRecord) -> tuple[Probe, ...]:
    asked: dict[int, Probe] = {}
    for probe in record.probes:
        if probe.kind != "hard-locality":
            asked.setdefault(probe.probe, probe.asked)
    return tuple(asked[number] for number in sorted(asked))


def findings_of_facts(run: Recorded, reader: CaseReader | None, name: str) -> Iterator[Problem | Unchecked]:
    """Yield what is wrong with the facts of a run, compared with its dataset called ``name``; without ``reader``, with the
    dataset's recorded hash.
    """
    yield from _unlike_each_other(run)
    said = run.manifest.identity.get("dataset")
    if not isinstance(said, Mapping) or not isinstance(said.get("hash"), str):
        yield Problem(where="manifest.json", problem="identity.dataset.hash is missing")
        return
    first = {record.case: record for record in reversed(run.cases)}
    records = [first[case] for case in run.manifest.case_ids if case in first]
    if reader is not None:
        yield from _compared(run, records, said["hash"], reader, name)
    elif content_hash(map(of_journal, records)) != said["hash"]:
        yield Unchecked(what=DATASET, reason=NOT_TOLD)


def _unlike_each_other(run: Recorded) -> Iterator[Problem]:
    """Yield cases whose questions or golds differ between protocols, or between judging points."""
    first: dict[str, tuple[Any, ...]] = {}
    for record in run.cases:
        asked: dict[int, Probe] = {}
        where = f"{JOURNAL}, case {record.case}"
        for probe in record.probes:
            if asked.setdefault(probe.probe, probe.asked) != probe.asked:
                yield Problem(where=where, problem=f"probe {probe.probe} is another question in two protocols")
                break
        fact = (record.request, asked)
        if first.setdefault(record.case, fact) != fact:
            yield Problem(where=where, problem="it is another fact at two judging points")


def _compared(
    run: Recorded, records: list[CaseRecord], recorded_hash: str, reader: CaseReader, name: str
) -> Iterator[Problem]:
    """Yield how the facts of a run differ from those of the dataset called ``name``."""
    known = {case.id: case for case in reader.candidates()}
    missing = [record.case for record in records if record.case not in known]
    if missing:
        yield Problem(where=JOURNAL, problem=f"cases that are not in {name}: {len(missing)}; the first is {missing[0]}")
        return
    order = [record.case for record in records]
    schedule = run.manifest.identity.get("schedule")
    if isinstance(schedule, Mapping) and "order" in schedule:
        place = {case: index for index, case in enumerate(known)}
        order.sort(key=place.__getitem__)
    if content_hash(known[case] for case in order) != recorded_hash:
        yield Problem(where="manifest.json", problem=f"identity.dataset.hash is not that of these cases in {name}")
    for record in records:
        if _without_rivals(known[record.case]) != of_journal(record).without_separators():
            yield Problem(where=f"{JOURNAL}, case {record.case}", problem=f"it is another fact in {name}")


def _without_rivals(case: EditCase) -> EditCase:
    probes = tuple(probe.model_copy(update={"rival": None}) for probe in case.probes)
    return case.without_separators().model_copy(
        update={"probes": tuple(probe.model_copy(update={"separator": None}) for probe in probes)}
    )


def dataset_reader(run: Recorded, registry: Registry, file: Path | None) -> CaseReader | None:
    """Return a reader of all cases that a run could have chosen from: out of ``file``, or of the plugin that bundles them.

    None: no file is given, and the dataset is not bundled with an installed plugin. Raises ``UserError`` if the file cannot be
    read as the run's dataset.
    """
    said = run.manifest.identity.get("dataset")
    if not isinstance(said, Mapping):
        return None
    name = f"{said.get('plugin')}/{said.get('name')}"
    recorded = said["params"] if isinstance(said.get("params"), Mapping) else {}
    if file is None and (SOURCES & recorded.keys() or not registry.called("dataset", name)):
        return None
    params = recorded if file is None else {**recorded, "path": str(file)}
    where = said["where"] if isinstance(said.get("where"), Mapping) else {}
    try:
        dataset, _ = make(registry.find("dataset", name), "dataset", params)
        choice = CaseFilter(
            where=where,
            sample=said.get("sample"),
            seed=said.get("seed") or 0,
            skip_malformed=bool(said.get("skip_malformed")),
        )
        reader = CaseReader(str(said.get("name")), dataset, choice)
        next(iter(reader.candidates()), None)
    except (UserError, ValidationError) as error:
        if file is None:
            return None
        raise UserError(
            f"it cannot be read as the dataset of the run: {error}", Option("dataset_file", file)
        ) from error
    return reader
