"""Whether a run folder is a valid submission: whole, unchanged, scored as its answers are, made by released versions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.version import InvalidVersion, Version
from pydantic import ValidationError

from wildcore import UserError
from wildcore.evaluation.schedules import Schedule
from wildcore.records.run_folder import MANIFEST
from wildcore.records.schema import changed_values
from wildcore.records.summary_file import NAME as SUMMARY
from wildcore.registry import Registry
from wildcore.scoring.clusters import subjects
from wildcore.scoring.means import summarise
from wildcore_leaderboard.facts import dataset_reader, findings_of_facts
from wildcore_leaderboard.findings import Problem, Unchecked, Verdict
from wildcore_leaderboard.named import departures
from wildcore_leaderboard.recomputed import (
    computed_again,
    findings_of_scores,
    is_allowed,
    metrics_of,
    not_recomputed,
)
from wildcore_leaderboard.recorded import Recorded, read_recorded

REVISION = "source revision"
CHANGED = "+changes"
OWN_PACKAGE = re.compile(r"wildcore(-[a-z0-9-]+)?")
UNKNOWABLE = (
    "whether a model gave these answers: make the run again and compare",
    "whether plugins were changed after they were installed: versions are recorded, and not the code",
)
NO_DATASET = "whether the dataset of this hash is the one that its name says: give its file to compare them"


@dataclass(frozen=True)
class Allowed:
    """What a check lets pass: metrics (or "dataset") that cannot be checked, and source revisions of wildcore."""

    unchecked: Sequence[str] = ()
    revisions: Sequence[str] = ()


def checked(registry: Registry, path: Path, allowed: Allowed, dataset_file: Path | None = None) -> Verdict:
    """Check the run folder ``path``. Nothing is written, no model is loaded and no service is asked.

    Raises ``UserError`` if it is not a run folder, or if ``dataset_file`` cannot be read as its dataset.
    """
    run = read_recorded(path)
    if isinstance(run, Problem):
        return _verdict(path, [run])
    problems = [*run.findings, *_incomplete(run), *_contradictory(run), *_unreleased(run, allowed.revisions)]
    unchecked: list[Unchecked] = []
    reader = dataset_reader(run, registry, dataset_file)
    for found in findings_of_facts(run, reader, dataset_file.name if dataset_file else "the dataset"):
        (problems if isinstance(found, Problem) else unchecked).append(found)  # type: ignore[arg-type]
    with TemporaryDirectory() as cache:
        recomputed = metrics_of(run, registry, Path(cache))
        problems += findings_of_scores(run, recomputed)
    unchecked += not_recomputed(recomputed)
    problems += _wrong_summary(run)
    problems += [
        Problem(where=one.what, problem=f"not checked: {one.reason}")
        for one in unchecked
        if not is_allowed(one.what, allowed.unchecked)
    ]
    return _verdict(
        path,
        problems,
        unchecked=[one for one in unchecked if is_allowed(one.what, allowed.unchecked)],
        named=tuple(map(str, departures(run.manifest))),
        unknowable=[*UNKNOWABLE, *([] if reader else [NO_DATASET])],
        cases=len({record.case for record in run.cases}),
        answers=sum(len(probe.before) + len(probe.after) for record in run.cases for probe in record.probes),
        scores=len(run.scores),
        recomputed=computed_again(run, recomputed),
    )


def _verdict(path: Path, problems: Sequence[Problem], **found: Any) -> Verdict:
    nothing: dict[str, Any] = {"unchecked": (), "named": (), "unknowable": UNKNOWABLE}
    counts = dict.fromkeys(("cases", "answers", "scores", "recomputed"), 0)
    fields = {**nothing, **counts, **found}
    return Verdict(run=str(path), valid=not problems, problems=tuple(problems), **fields)


def _incomplete(run: Recorded) -> Iterator[Problem]:
    """Yield cases that are missing or of another run, and records without an answer to each protocol."""
    manifest, journal = run.manifest, "journal.jsonl"
    done, own = {record.case for record in run.cases}, set(manifest.case_ids)
    if not own:
        yield Problem(where=MANIFEST, problem="it does not list its cases: an earlier version began the run")
    elif len(own) != len(manifest.case_ids) or len(own) != manifest.case_count:
        yield Problem(where=MANIFEST, problem="case_count and case_ids contradict each other")
    stopped = next((point for point in run.points if point.stopped), None)
    if stopped is not None:
        yield Problem(where="points.jsonl", problem=f"the sequence was stopped after {stopped.after_edits} edits")
    if missing := [case for case in manifest.case_ids if case not in done]:
        yield Problem(
            where=journal, problem=f"missing cases: {len(missing)} of {manifest.case_count}; the first is {missing[0]}"
        )
    if foreign := [case for case in done if own and case not in own]:
        yield Problem(where=journal, problem=f"cases of another run: {len(foreign)}; the first is {min(foreign)}")
    expected = manifest.case_count if manifest.journal_lines is None else manifest.journal_lines
    if not missing and len(run.cases) < expected:
        yield Problem(
            where=journal, problem=f"missing at judging points: {expected - len(run.cases)} of {expected} evaluations"
        )
    names = {protocol.name for protocol in manifest.protocols}
    for record in run.cases:
        asked = {probe.protocol for probe in record.probes}
        if asked != names and (record.probes or record.edit.status == "edited"):
            missed = ", ".join(sorted(asked ^ names))
            yield Problem(where=f"{journal}, case {record.case}", problem=f"not asked as the manifest says: {missed}")
        if any(not probe.after and not probe.unanswered for probe in record.probes) and record.edit.status == "edited":
            yield Problem(where=f"{journal}, case {record.case}", problem="an answer is missing")


def _contradictory(run: Recorded) -> Iterator[Problem]:
    """Yield contradictions within the manifest, and between it and the summary, which repeats a part of it."""
    manifest, identity = run.manifest, run.manifest.identity
    if run.summary:
        for change in changed_values(run.summary.get("identity"), identity):
            yield Problem(where=MANIFEST, problem=f"identity.{change}; {SUMMARY} has the first")
    modules = {
        protocol.name: protocol.model_dump(mode="json", include={"context", "generator", "truncator", "metrics"})
        for protocol in manifest.protocols
    }
    for change in changed_values(identity.get("protocols"), modules):
        yield Problem(where=MANIFEST, problem=f"identity.protocols contradicts protocols: {change}")
    dataset = identity.get("dataset")
    if isinstance(dataset, Mapping) and dataset.get("cases", manifest.case_count) != manifest.case_count:
        yield Problem(where=MANIFEST, problem="identity.dataset.cases contradicts case_count")
    for field, value in _of_job(run):
        if value != identity.get(field):
            yield Problem(where=MANIFEST, problem=f"identity.{field} contradicts the job")
    job_dtype, model = manifest.job.get("dtype"), identity.get("model")
    if isinstance(model, Mapping) and job_dtype not in (None, "auto", model.get("dtype")):
        yield Problem(where=MANIFEST, problem=f"identity.model.dtype contradicts the job, which asks for {job_dtype}")


def _of_job(run: Recorded) -> Iterator[tuple[str, Any]]:
    """Yield fields of the identity as the job determines them."""
    job = run.manifest.job
    for field in ("seed", "batch_size"):
        yield field, job.get(field)
    try:
        schedule = Schedule.chosen(
            job.get("schedule", "single"),
            job.get("edits_per_update"),
            max(1, run.manifest.case_count),
            job.get("judge_at", "end"),
            job.get("edit_order"),
        )
    except (UserError, ValidationError, TypeError, AttributeError):
        yield "schedule", None
    else:
        yield "schedule", schedule.identity()


def _wrong_summary(run: Recorded) -> Iterator[Problem]:
    """Yield rows of the summary's table that are not the means of the recorded scores."""
    if not run.summary:
        return
    last: dict[str, int | None] = {}
    for record in run.cases:
        if record.after_edits is None or record.after_edits >= (last.get(record.case) or 0):
            last[record.case] = record.after_edits
    final = [score for score in run.scores if score.after_edits == last.get(score.case, score.after_edits)]
    records = [record for record in run.cases if record.after_edits == last[record.case]]
    expected = {(row.protocol, row.kind, row.metric): row for row in summarise(final, subjects(records))}
    said = run.summary.get("cells")
    rows = said if isinstance(said, list) else []
    keyed = {(row.get("protocol"), row.get("kind"), row.get("metric")): row for row in rows if isinstance(row, Mapping)}
    if len(keyed) != len(rows) or keyed.keys() != expected.keys():
        yield Problem(where=SUMMARY, problem="its table has other rows than the scores")
        return
    for key, row in expected.items():
        for name, value in row.model_dump().items():
            if not _alike(keyed[key].get(name), value):
                yield Problem(
                    where=SUMMARY, problem=f"{' '.join(key)}: {name} is {keyed[key].get(name)}, the scores give {value}"
                )


def _alike(said: Any, value: Any) -> bool:
    if isinstance(said, int | float) and isinstance(value, int | float):
        return isclose(said, value, rel_tol=1e-6, abs_tol=1e-9)
    return bool(said == value)


def _unreleased(run: Recorded, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield versions that nobody else can install: from an edited tree, from a revision that is not allowed, or no release."""
    places: list[tuple[str, Mapping[str, str]]] = [(MANIFEST, run.manifest.versions)]
    places += [("work.jsonl", call.versions) for call in run.calls]
    places += [("scorings.jsonl", added.versions) for added in run.added]
    seen: set[str] = set()
    for where, versions in places:
        for problem in _of_versions(versions, allowed):
            if problem not in seen:
                seen.add(problem)
                yield Problem(where=where, problem=problem)


def _of_versions(versions: Mapping[str, str], allowed: Sequence[str]) -> Iterator[str]:
    if "wildcore" not in versions:
        yield "it does not say which version of wildcore made the run"
    revision = versions.get(REVISION)
    if revision is not None and revision.endswith(CHANGED):
        yield f"made by an edited source tree (revision {revision}), which is no released version"
    elif revision is not None and not any(len(one) >= 7 and revision.startswith(one) for one in allowed):
        yield f"made by the source revision {revision}, which is no released version"
    for name, version in versions.items():
        if name != REVISION and (problem := _no_release(name, version)):
            yield f"{name} {version}: {problem}"


def _no_release(name: str, version: str) -> str | None:
    """Return why a version is no release. None: it is one. Builds of other packages may have a local part, such as +cu126."""
    try:
        found = Version(version)
    except InvalidVersion:
        return "not a version"
    if found.is_devrelease:
        return "a development version, which is no release"
    return "a local version, which is no release" if found.local and OWN_PACKAGE.fullmatch(name) else None
