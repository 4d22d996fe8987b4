"""The summary of a run's scores."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from wildcore.json_documents import JsonDocument
from wildcore.records.continuations import Continuation, continuations
from wildcore.records.endings import Endings, endings
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import EditOutcome
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import ChangeByEdits, changes_by_edits, synthetic_minus_wild
from wildcore.scoring.means import SummaryRow, by_nearness, summarise
from wildcore.scoring.paired import PairedDifference
from wildcore.scoring.power import smallest_detectable_before
from wildcore.scoring.retention import Collapse, RetentionMatrix, RetentionPoint, retention_summary
from wildcore.types import FrozenData, Nearness


class RunSummary(FrozenData):
    """The summary of a scored run.

    ``identity`` is everything that the answers depend on. ``cases`` counts the edits, ``refused`` those that the editor refused,
    ``diverged`` those whose patch is not finite; ``seconds_per_edit`` is the mean time of the edits that were made (None: none
    was). ``cells`` are the rows of the table. ``synthetic_minus_wild`` is the difference in reliability between the two protocols
    (None: the run lacks one of them), ``changes`` the difference after minus before in each number. ``detectable_at_first`` is
    the smallest difference from another run that this number of cases detects with 80 % power (None: no difference).
    ``hard_locality`` splits those rows by how the probes are near the edit, if there are any. ``points``, ``matrices`` and
    ``collapse`` describe the judging points of a sequence; other runs lack them. ``continuations`` and ``endings`` say what
    followed answers, and how answers ended.
    """

    identity: Mapping[str, Any]
    cases: int
    refused: int
    diverged: int
    seconds_per_edit: float | None
    cells: tuple[SummaryRow, ...]
    synthetic_minus_wild: PairedDifference | None
    changes: tuple[ChangeByEdits, ...]
    detectable_at_first: float | None
    hard_locality: Mapping[Nearness, tuple[SummaryRow, ...]] | None = None
    points: tuple[RetentionPoint, ...] | None = None
    matrices: tuple[RetentionMatrix, ...] | None = None
    collapse: Collapse | None = None
    continuations: tuple[Continuation, ...]
    endings: tuple[Endings, ...]


class SeveralRuns(FrozenData):
    """The summaries of several runs that one command made, in the order in which they were made."""

    runs: tuple[RunSummary, ...]


SOMETIMES = ("hard_locality", "points", "matrices", "collapse")
"""Fields that a summary has only if the run has something to say there."""
MAY_LACK = frozenset({*(f"RunSummary.{name}" for name in SOMETIMES), "Measured.samples"})
ONE_RUN = JsonDocument("show", 1, "wildcore.scoring.summary:RunSummary", MAY_LACK)
SEVERAL_RUNS = JsonDocument("eval", 1, "wildcore.scoring.summary:SeveralRuns", MAY_LACK)


def summary(folder: RunFolder) -> dict[str, Any]:
    """Return the summary of a scored run as JSON values, in the form of ``RunSummary``."""
    cases, scores = list(folder.cases()), list(folder.scores())
    edits = [case.edit for case in cases]
    clusters = subjects(cases)
    split = {one: tuple(rows) for one, rows in by_nearness(cases, scores).items()}
    found = RunSummary(
        identity=folder.manifest.identity,
        cases=len(edits),
        refused=sum(edit.status == "refused" for edit in edits),
        diverged=sum(edit.patch is not None and edit.patch.get("finite") is False for edit in edits),
        seconds_per_edit=seconds_per_edit(edits),
        cells=tuple(summarise(scores, clusters)),
        synthetic_minus_wild=synthetic_minus_wild(scores, clusters),
        changes=tuple(changes_by_edits(scores, clusters)),
        detectable_at_first=smallest_detectable_before(len(edits)),
        hard_locality=split or None,
        continuations=tuple(continuations(cases, scores)),
        endings=tuple(endings(cases, folder.manifest.protocols)),
    )
    left_out = {name for name in SOMETIMES if getattr(found, name) is None}
    return found.model_dump(mode="json", exclude=left_out) | retention_summary(folder)


def seconds_per_edit(edits: Iterable[EditOutcome]) -> float | None:
    """Return the mean time of the edits that were made, without refused ones. None: no edit was made."""
    seconds = [edit.seconds for edit in edits if edit.status == "edited"]
    return fmean(seconds) if seconds else None
