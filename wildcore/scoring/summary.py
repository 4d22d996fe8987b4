"""The summary of a run's scores."""

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from wildcore.records.continuations import continuations
from wildcore.records.endings import endings
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import EditOutcome
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import changes_by_edits, synthetic_minus_wild
from wildcore.scoring.means import by_nearness, summarise
from wildcore.scoring.power import smallest_detectable_before
from wildcore.scoring.retention import retention_summary


def summary(folder: RunFolder) -> dict[str, Any]:
    """Return the summary of a scored run as JSON values: what was run, how many cases, each row of the table, the differences
    within the run, the smallest difference from another run that this number of cases detects, what followed answers, and the
    judging points of a sequence.
    """
    cases, scores = list(folder.cases()), list(folder.scores())
    edits = [case.edit for case in cases]
    clusters = subjects(cases)
    gap = synthetic_minus_wild(scores, clusters)
    split = {one: [row.model_dump() for row in rows] for one, rows in by_nearness(cases, scores).items()}
    return {
        "identity": folder.manifest.identity,
        "cases": len(edits),
        "refused": sum(edit.status == "refused" for edit in edits),
        "diverged": sum(edit.patch is not None and edit.patch.get("finite") is False for edit in edits),
        "seconds_per_edit": seconds_per_edit(edits),
        "cells": [row.model_dump() for row in summarise(scores, clusters)],
        "synthetic_minus_wild": None if gap is None else gap.model_dump(),
        "changes": [change.model_dump() for change in changes_by_edits(scores, clusters)],
        "detectable_at_first": smallest_detectable_before(len(edits)),
        **({"hard_locality": split} if split else {}),
        **retention_summary(folder),
        "continuations": [one.model_dump() for one in continuations(cases, scores)],
        "endings": [one.model_dump() for one in endings(cases, folder.manifest.protocols)],
    }


def seconds_per_edit(edits: Iterable[EditOutcome]) -> float | None:
    """Return the mean time of the edits that were made, without refused ones. None: no edit was made."""
    seconds = [edit.seconds for edit in edits if edit.status == "edited"]
    return fmean(seconds) if seconds else None
